package initproc

import (
	"encoding/binary"
	"fmt"
)

// First splits a list behind its first operation.
func First(ops []byte) (first, rest []byte, err error) {
	if len(ops) < recordSize {
		return nil, nil, fmt.Errorf("read operations: no operation in %d bytes", len(ops))
	}
	n := recordSize + int(binary.NativeEndian.Uint32(ops[4:]))
	n = (n + alignment - 1) / alignment * alignment
	if n > len(ops) {
		return nil, nil, fmt.Errorf("read operations: cut short")
	}
	return ops[:n], ops[n:], nil
}

// Powers are the namespaces (CLONE_NEW*) that a list makes, and the capabilities that its app can ever have.
func Powers(ops []byte) (namespaces uint32, bounding uint64, err error) {
	for len(ops) > 0 {
		first, rest, err := First(ops)
		if err != nil {
			return 0, 0, err
		}
		switch binary.NativeEndian.Uint32(first) {
		case opClone:
			namespaces = binary.NativeEndian.Uint32(first[recordSize:])
		case opCaps:
			bounding = binary.NativeEndian.Uint64(first[recordSize:])
		}
		ops = rest
	}
	return namespaces, bounding, nil
}

// BeforePivot splits a list in front of the operation that changes the root.
func BeforePivot(ops []byte) (before, rest []byte, err error) {
	for at := ops; len(at) > 0; {
		first, next, err := First(at)
		if err != nil {
			return nil, nil, err
		}
		if binary.NativeEndian.Uint32(first) == opPivot {
			return ops[:len(ops)-len(at)], at, nil
		}
		at = next
	}
	return nil, nil, fmt.Errorf("read operations: the root is never changed")
}

// Blob wraps a list for the program to read.
func Blob(ops []byte) []byte {
	b := make([]byte, headerSize, headerSize+len(ops))
	binary.NativeEndian.PutUint32(b, magic)
	binary.NativeEndian.PutUint32(b[4:], uint32(headerSize+len(ops)))
	return append(b, ops...)
}
