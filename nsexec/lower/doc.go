// Package lower turns a description of a container, libcontainer's configs.Config, into the flat list of operations
// that the direct engine works off. It runs when a plan is compiled.
//
// It owns the answer to what the direct engine can do: whatever a description asks for beyond that is an
// *UnsupportedError that names it, so that a planner can take the other engine. Nothing is ever left out silently:
// what this package does not know of a newer libcontainer is refused too.
//
// Lower is pure: the same input gives the same list, and nothing is looked up on the host.
//
// Entry point: Lower.
package lower
