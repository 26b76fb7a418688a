//go:build !cgo

package engine

const haveNsenter = false
