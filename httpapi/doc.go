// Package httpapi is the HTTP face of the service: it reads requests strictly, knows who asks and what
// they may, turns requests into commands and questions, and every failure into a problem document.
// The OpenAPI document beside it is the source of its routes: an operation without a handler, or a
// handler without an operation, stops the start. It decides nothing about orders and stores nothing;
// application carries out what it hands over, readmodels answers what it asks.
package httpapi
