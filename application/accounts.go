package application

import (
	"context"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
)

// Accounts says how accounts are folded.
var Accounts = &Aggregate[account.Account]{
	Category: "account", Noun: "account", Fold: account.FoldVersion,
	Apply: account.Account.Apply,
	Owner: func(a account.Account) string { return a.CustomerID },
	Weigh: func(a account.Account) int { return 100 * (len(a.Payments) + len(a.Latest)) },
	Long:  true,
}

// OpenAccount is an account on its way.
type OpenAccount struct {
	CustomerID     string
	Currency       string
	OverdraftLimit int64 // minor units
}

// OpenAccount starts an account. A customer who opens one for somebody else is KindForbidden.
func (s *Service) OpenAccount(ctx context.Context, command Command, in OpenAccount) (Result[account.Account], error) {
	if err := forOneself(command, in.CustomerID); err != nil {
		return Result[account.Account]{}, err
	}
	return Execute(ctx, s.Executor, command, Task[account.Account]{
		Aggregate: Accounts,
		Decide: decide(func(account.Account) ([]domain.Event, error) {
			return account.Open(account.Opened{
				CustomerID: in.CustomerID, Currency: in.Currency, OverdraftLimit: in.OverdraftLimit,
			})
		}),
	})
}

// Deposit adds money, amount in minor units. Codes: account_closed, currency_mismatch.
func (s *Service) Deposit(ctx context.Context, command Command, id string, amount int64, currency, reference string) (Result[account.Account], error) {
	return s.onAccount(ctx, command, id, func(a account.Account) ([]domain.Event, error) {
		return a.Deposit(account.Deposited{Amount: amount, Currency: currency, Reference: reference})
	})
}

// Withdraw takes money out, amount in minor units. With an orderID it pays for that order, at most once.
// Codes: account_closed, currency_mismatch, insufficient_funds, already_paid.
func (s *Service) Withdraw(ctx context.Context, command Command, id string, amount int64, currency, reference, orderID string) (Result[account.Account], error) {
	return s.onAccount(ctx, command, id, func(a account.Account) ([]domain.Event, error) {
		return a.Withdraw(account.Withdrawn{Amount: amount, Currency: currency, Reference: reference, OrderID: orderID})
	})
}

// Credit gives money back, amount in minor units. With an orderID it undoes that order's payment, at
// most once. Codes: account_closed, currency_mismatch, not_paid.
func (s *Service) Credit(ctx context.Context, command Command, id string, amount int64, currency, reason, reference, orderID string) (Result[account.Account], error) {
	return s.onAccount(ctx, command, id, func(a account.Account) ([]domain.Event, error) {
		return a.Credit(account.Credited{
			Amount: amount, Currency: currency, Reason: reason, Reference: reference, OrderID: orderID,
		})
	})
}

// CloseAccount ends an account for good. Codes: account_closed, balance_not_zero.
func (s *Service) CloseAccount(ctx context.Context, command Command, id string) (Result[account.Account], error) {
	return s.onAccount(ctx, command, id, account.Account.Close)
}

func (s *Service) onAccount(ctx context.Context, command Command, id string, decision func(account.Account) ([]domain.Event, error)) (Result[account.Account], error) {
	if id == "" {
		return Result[account.Account]{}, domain.NotFound(Accounts.Noun, id)
	}
	return Execute(ctx, s.Executor, command, Task[account.Account]{
		Aggregate: Accounts, ID: id, Decide: decide(decision),
	})
}
