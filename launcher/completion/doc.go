// Package completion says what can come next on a command line, from the grammar that parses it, and has the scripts
// by which bash, zsh and fish ask.
//
// What a value is follows from its enum, or else from its placeholder or name: IMAGE, FILE, PATH, DIR, APP and FLAKE are
// known. So a new flag needs nothing here. It is linked by flake-ctl only, which answers for flake-run too. Entry points:
// Complete, Script.
package completion
