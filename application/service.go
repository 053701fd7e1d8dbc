package application

import (
	"context"

	"github.com/tidemark-dev/tidemark/domain"
)

// Service is every command that the program carries out. All methods are safe for concurrent use and
// fail as Execute does, beside the refusals that they name.
type Service struct {
	*Executor
}

// NewService makes the service over store.
func NewService(store EventStore, options Options) *Service {
	return &Service{Executor: NewExecutor(store, options)}
}

// decide adapts a decision that needs nothing but the state.
func decide[S any](decision func(S) ([]domain.Event, error)) func(context.Context, Loaded[S]) ([]domain.Event, error) {
	return func(_ context.Context, current Loaded[S]) ([]domain.Event, error) {
		return decision(current.State)
	}
}

// forOneself refuses what a customer wants to make for another customer.
func forOneself(command Command, customer string) error {
	if command.Customer == "" || customer == "" || customer == command.Customer {
		return nil
	}
	return &domain.Error{
		Kind: domain.KindForbidden, Code: "forbidden",
		Message: "A customer acts for nobody else.",
	}
}
