package caller

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxCopy bounds a file that starts copy.
const maxCopy = 1 << 20

// ReadHostFile reads a file that a start copies: a regular one of at most 1 MiB.
func ReadHostFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() > maxCopy {
		return nil, errors.Join(unix.EINVAL, err)
	}
	return io.ReadAll(io.LimitReader(f, maxCopy))
}
