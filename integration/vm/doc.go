// Package vm boots virtual machines with Debian's own kernels and tries the built programs in them: on kernels older
// than the one at hand, on another architecture, with no cgroups but those of version 2, with knobs that other tests must
// not turn, and with AppArmor. It is slow, for there may be no
// hardware to help, so it is `make test-long` that sets FLAKE_TEST_VM=1, without which its test is skipped.
//
// fetch.sh gets kernel and programs of a Debian release; everything of a machine lies in an initramfs that is made here,
// nothing is installed and no disk is needed. The machine has two serial lines: the kernel speaks on the first, and on
// the second our script tells how each check ended.
package vm
