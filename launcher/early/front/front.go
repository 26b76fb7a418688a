//go:build cgo

// Package front is the early part of the launcher, in C: see front.c. It does something only in a program that the Makefile
// has linked, and is imported for nothing but that.
package front

// #cgo CFLAGS: -std=gnu11 -Os -Wall -Wextra
import "C"
