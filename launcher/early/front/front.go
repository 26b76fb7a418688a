//go:build cgo

// Package front is the early part of the launcher, in C: see front.c. It does something only in a program that the Makefile
// has linked. Ignored is all that it has to say to Go.
package front

// #cgo CFLAGS: -std=gnu11 -Os -Wall -Wextra
// extern unsigned long long callers_ignored;
import "C"

// Ignored are the signals that the caller of this process has it ignore, as bits from number 1 on.
func Ignored() uint64 { return uint64(C.callers_ignored) }
