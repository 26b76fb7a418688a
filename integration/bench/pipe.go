package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

const (
	streamSize  = 5_000_000_000
	nativePiped = "native < pipe"
	flakePiped  = "flake < pipe"
	nativeFile  = "native < file"
	flakeFile   = "flake < file"
)

// pipe is the image's own dd on both sides, natively by chroot: what differs is only what we do to its descriptors and
// system calls.
func pipe(rounds int) scenario {
	return scenario{
		name: "pipe", title: "Throughput of `dd bs=1M < 5 GB > /dev/null`, as root", rounds: min(rounds, 9), reference: flakePiped,
		subjects: []subject{
			{name: nativePiped, prepare: prepareNativeStream, command: nativeDD, measure: piped},
			{name: flakePiped, prepare: prepareStream, command: flakeDD, measure: piped},
			{name: nativeFile, prepare: both(prepareNativeStream, prepareSparse), command: nativeDD, measure: fromFile},
			{name: flakeFile, prepare: both(prepareStream, prepareSparse), command: flakeDD, measure: fromFile},
		},
		goals: []goal{ratio(flakePiped, nativePiped, 1/0.95), ratio(flakeFile, nativeFile, 1/0.95), peakOf(flakePiped, 20), peakOf(flakeFile, 20)},
	}
}

func nativeDD(e *env) *exec.Cmd {
	cmd := exec.Command("/bin/dd", "bs=1M", "status=none")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: e.rootfs()}
	return cmd
}

func flakeDD(e *env) *exec.Cmd { return e.ours(e.link("dd"), "bs=1M", "status=none") }

func prepareNativeStream(e *env) error {
	_, err := e.real("bookworm")
	return err
}

func prepareStream(e *env) error {
	if err := prepareFlake(e); err != nil {
		return err
	}
	return e.once("dd", func() error { return e.register("dd", "/bin/dd", "--container", "bookworm") })
}

// prepareSparse makes a file of 5 GB that takes no room.
func prepareSparse(e *env) error {
	file, err := os.Create(e.scratch("stream"))
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(streamSize), file.Close())
}

func fromFile(e *env, sub subject) (sample, error) {
	file, err := os.Open(e.scratch("stream"))
	if err != nil {
		return sample{}, err
	}
	defer file.Close()
	cmd := sub.command(e)
	cmd.Stdin = file
	return timed(cmd)
}

// piped feeds the command from here in large pieces: what head(1) writes at a time is so little that it would be the
// writer that is measured.
func piped(e *env, sub subject) (sample, error) {
	from, to, err := os.Pipe()
	if err != nil {
		return sample{}, err
	}
	defer from.Close()
	fed := make(chan error, 1)
	go func() { fed <- errors.Join(feed(to), to.Close()) }()
	cmd := sub.command(e)
	cmd.Stdin = from
	got, err := timed(cmd)
	_ = from.Close() // the last reader: a writer that is not done yet gets an error instead of waiting for ever
	if unread := <-fed; err == nil && unread != nil {
		err = fmt.Errorf("the command ended before its input: %w", unread)
	}
	return got, err
}

func feed(to *os.File) error {
	piece := make([]byte, 1<<20)
	for left := streamSize; left > 0; left -= len(piece) {
		if _, err := to.Write(piece[:min(left, len(piece))]); err != nil {
			return err
		}
	}
	return nil
}
