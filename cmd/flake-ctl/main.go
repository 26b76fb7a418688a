// Command flake-ctl manages flakes: it pulls images, registers commands and removes both.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/ctl"
)

// memoryLimit keeps the collector busy rather than the machine: unpacking produces garbage by the gigabyte. It is
// no hard limit.
const memoryLimit = 100 << 20

func main() {
	debug.SetMemoryLimit(memoryLimit)
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	code := ctl.Main(ctx, os.Args[1:], ctl.Streams{Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}
