package main

import (
	"fmt"
	"syscall"
)

// insist says that it is ready and tries to make a file until that succeeds.
func insist(args []string) int {
	fmt.Println("ready")
	for {
		if fd, err := syscall.Open(args[0], syscall.O_WRONLY|syscall.O_CREAT|syscall.O_CLOEXEC, 0o644); err == nil {
			syscall.Close(fd)
			return 0
		}
	}
}
