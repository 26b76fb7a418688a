//go:build cgo

package engine

// The constructor of libcontainer's C half; it acts only in a process that libcontainer re-executed.
import _ "github.com/opencontainers/runc/libcontainer/nsenter"

const haveNsenter = true
