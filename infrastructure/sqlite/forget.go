package sqlite

import "errors"

// Statements is the number of prepared statements that the connection keeps.
func (c *Conn) Statements() int { return len(c.statements) }

// Forget closes all prepared statements, for users whose texts are not bounded. None may be in use.
func (c *Conn) Forget() error {
	var errs []error
	for _, stmt := range c.statements {
		errs = append(errs, stmt.Close())
	}
	clear(c.statements)
	return errors.Join(errs...)
}
