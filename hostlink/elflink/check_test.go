package elflink

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

func TestCheck(t *testing.T) {
	w := newWorld(t)
	w.debian(w.img, 36)
	w.img.write(t, "usr/bin/good", spec{interp: interp64, needed: []string{"libc.so.6"}, needs: needsOf("libc.so.6", "GLIBC_2.36")}.build())
	w.img.write(t, "usr/bin/old", spec{interp: interp64, needed: []string{"libc.so.6"}, needs: needsOf("libc.so.6", "GLIBC_2.39")}.build())
	w.img.write(t, "usr/bin/lacks", spec{interp: interp64, needed: []string{"libno.so.1", "libc.so.6"}}.build())
	w.img.write(t, "usr/bin/loaderless", spec{interp: interpM, needed: []string{"libc.so"}}.build())
	w.img.write(t, "usr/bin/script", []byte("#!/bin/sh\n"))
	w.lib(w.img, "/opt/x", "libhidden.so.1", spec{})
	w.img.write(t, "usr/bin/hidden", spec{interp: interp64, needed: []string{"libhidden.so.1", "libc.so.6"}}.build())
	w.img.write(t, "usr/lib/plugin.so", spec{needed: []string{"libhidden.so.1", "libc.so.6"}}.build())
	w.img.write(t, "usr/lib/broken.so", spec{needed: []string{"libgone.so.1", "libc.so.6"}}.build())
	w.img.write(t, "usr/bin/covered", spec{interp: interp64, needed: []string{"libno.so.1"}}.build())
	// Nobody loads this by its own name, and what it needs is gone.
	w.img.write(t, multiarch+"/libm-2.31.so", spec{soname: "libm.so.6", needed: []string{"libc.so.6"}, needs: needsOf("libc.so.6", "GLIBC_OLD")}.build())
	w.host.write(t, "usr/bin/host", spec{interp: interp64, needed: []string{"libabsent.so", "libc.so.6"}}.build())
	plan := &hostlink.Plan{
		Links: []hostlink.Link{{Source: w.host.at("usr/bin/host"), Target: "/usr/bin/host", Kind: hostlink.KindFile}},
		Nodes: []hostlink.Node{{Path: "/usr/bin/covered", Kind: hostlink.KindWhiteout}, {Path: "/usr/bin/host", Kind: hostlink.KindFile}},
	}
	missing, err := Check(context.Background(), Request{Image: w.img, Linked: plan})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range missing {
		got = append(got, m.String())
	}
	want := []string{
		"/usr/bin/hidden needs libhidden.so.1: /opt/x/libhidden.so.1 is not where the loader looks",
		"/usr/bin/host needs libabsent.so: nothing in the root is that",
		"/usr/bin/lacks needs libno.so.1: nothing in the root is that",
		"/usr/bin/loaderless needs /lib/ld-musl-x86_64.so.1: nothing in the root is that",
		"/usr/bin/loaderless needs libc.so: nothing in the root is that",
		"/usr/bin/old needs GLIBC_2.39 of libc.so.6: /usr/lib/x86_64-linux-gnu/libc.so.6 lacks GLIBC_2.39",
		"/usr/lib/broken.so needs libgone.so.1: nothing in the root is that",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Check(ctx, Request{Image: w.img}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Check(context.Background(), Request{Image: dirImage(t.TempDir() + "/no")}); err == nil {
		t.Error("a root that can't be read is no error")
	}
}

// TestHostileImage: libraries of an image that need each other without end, by names that nobody has, and symlinks in
// circles.
func TestHostileImage(t *testing.T) {
	w := newWorld(t)
	w.debian(w.img, 36)
	w.debian(w.host, 36)
	const n = 100
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("libevil%d.so", i))
	}
	for i, name := range all {
		s := spec{soname: name, needed: all, rpath: "/loop:$ORIGIN/../$ORIGIN:/usr/lib/deep"}
		for j := range 150 {
			s.needed = append(s.needed[:len(s.needed):len(s.needed)], fmt.Sprintf("libnone%d-%d.so", i, j))
		}
		w.img.write(t, multiarch+"/"+name, s.build())
	}
	w.img.link(t, "loop", "/loop2")
	w.img.link(t, "loop2", "/loop")
	w.img.link(t, "usr/lib/deep", "deep/deep")
	w.img.write(t, "etc/ld.so.cache", cacheOf([2]string{"libevil1.so", "/loop/../../../../etc/shadow"}))
	w.program("usr/bin/tool", spec{needed: []string{"libevil0.so"}})
	start := time.Now()
	r, err := Link(Request{Image: w.img, HostRoot: string(w.host), Linked: w.resolve(w.sources())})
	if limit := (*LimitError)(nil); err != nil && !errors.As(err, &limit) {
		t.Fatal(err)
	}
	if err == nil && len(r.Report.Missing) != n*150 {
		t.Errorf("%d missing", len(r.Report.Missing))
	}
	t.Logf("%v, %v", time.Since(start), err)
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	many := newWorld(t)
	many.debian(many.img, 36)
	for i := range maxMembers + 10 {
		many.img.write(t, fmt.Sprintf("%s/libm%d.so", multiarch, i), spec{needed: []string{fmt.Sprintf("libm%d.so", i+1)}}.build())
	}
	many.debian(many.host, 36)
	many.program("usr/bin/tool", spec{needed: []string{"libm0.so"}})
	_, err = Link(Request{Image: many.img, HostRoot: string(many.host), Linked: many.resolve(many.sources())})
	if limit := (*LimitError)(nil); !errors.As(err, &limit) || limit.Remedy() == "" {
		t.Errorf("a chain of %d libraries: %v", maxMembers+10, err)
	}
}
