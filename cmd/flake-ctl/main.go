// Command flake-ctl manages flakes: it pulls images, registers commands and removes both.
package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/ctl"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	code := ctl.Main(ctx, os.Args[1:], ctl.Streams{Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}
