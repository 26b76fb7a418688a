package flake

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var sizeForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)([bkmgt]?)(?:i?b)?$`)

// ParseSize reads a size as podman writes it, 64m or 1.5g, in powers of 1024. It is never 0.
func ParseSize(s string) (int64, error) {
	m := sizeForm.FindStringSubmatch(strings.ToLower(s))
	if m == nil {
		return 0, fmt.Errorf("%q is no size such as 64m or 1g", s)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no size such as 64m or 1g", s)
	}
	n *= float64(int64(1) << map[string]int{"k": 10, "m": 20, "g": 30, "t": 40}[m[2]])
	if n < 1 || n >= 1<<62 {
		return 0, fmt.Errorf("size %q is too small or too large", s)
	}
	return int64(n), nil
}

// ParseCPUs reads a number of processors, 1.5, into thousandths.
func ParseCPUs(s string) (int64, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n >= 0.01 && n <= 1<<20) {
		return 0, fmt.Errorf("%q is no number of processors such as 1.5", s)
	}
	return int64(n * 1000), nil
}

// Unlimited is the value of an ulimit that there is not.
const Unlimited = ^uint64(0)

// ParseUlimit reads SOFT[:HARD], each a number, -1 or unlimited.
func ParseUlimit(s string) (soft, hard uint64, err error) {
	first, second, two := strings.Cut(s, ":")
	if soft, err = ulimit(first); err != nil {
		return 0, 0, err
	}
	hard = soft
	if two {
		if hard, err = ulimit(second); err != nil {
			return 0, 0, err
		}
	}
	if soft > hard {
		return 0, 0, fmt.Errorf("%q: the soft limit is above the hard one", s)
	}
	return soft, hard, nil
}

func ulimit(s string) (uint64, error) {
	if s == "unlimited" || s == "-1" {
		return Unlimited, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no limit: a number, or unlimited", s)
	}
	return n, nil
}

// ParseMode reads the octal mode of a directory.
func ParseMode(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o7777 {
		return 0, fmt.Errorf("%q is no mode such as 1777", s)
	}
	return uint32(n), nil
}
