//go:build !cgo

package front
