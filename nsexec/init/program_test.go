package initproc

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestProgramsThatCanNotBeWritten(t *testing.T) {
	for name, p := range map[string]Program{
		"no command":             {},
		"NUL in an argument":     {Args: []string{"a", "b\x00c"}},
		"NUL in the environment": {Args: []string{"a"}, Env: []string{"A=\x00"}},
	} {
		t.Run(name, func(t *testing.T) {
			if b, err := p.Marshal(); err == nil || b != nil {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

func TestMarshal(t *testing.T) {
	p := Program{Stdio: [3]int{6, 7, 8}, DeathSignal: unix.SIGKILL, NoNewPrivs: true, OwnGroup: true, Keyring: true,
		Filters: [][]byte{[]byte("filter01"), []byte("x")}, Env: []string{"A=1", ""}, Args: []string{"cmd", "", "x"}}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	word := func(i int) uint32 { return binary.NativeEndian.Uint32(b[i:]) }
	if word(0) != magic || int(word(4)) != len(b) {
		t.Errorf("header %x", b[:8])
	}
	var got []string
	for at := headerSize; at < len(b); {
		op, size := word(at), int(word(at+4))
		got = append(got, stages[op]+": "+string(b[at+8:at+8+size]))
		if at%alignment != 0 {
			t.Errorf("operation %d is not aligned", op)
		}
		at += recordSize + (size+alignment-1)/alignment*alignment
	}
	want := []string{
		"place standard input and output: \x06\x00\x00\x00\x07\x00\x00\x00\x08\x00\x00\x00", "set no_new_privs: ",
		"follow the engine: \x09\x00\x00\x00", "leave the caller's keyring: ", "load seccomp filter: filter01", "load seccomp filter: x", ": ",
		"read the environment: A=1\x00\x00", "run the app: cmd\x00\x00x\x00",
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 && strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestReadReport(t *testing.T) {
	raw := func(words ...uint32) (b []byte) {
		for _, w := range words {
			b = binary.NativeEndian.AppendUint32(b, w)
		}
		return b
	}
	for name, tc := range map[string]struct {
		in   []byte
		want Report
		err  bool
	}{
		"started":           {raw(1, 0, 0, 0), Report{Kind: Started}, false},
		"ended":             {raw(2, 0, 0x0700, 0), Report{Kind: Ended, Wait: 0x0700}, false},
		"exec failed":       {raw(3, opRun, uint32(unix.ENOENT), 1), Report{Kind: Failed, Stage: "run the app", Errno: unix.ENOENT, Exec: true, Exists: true}, false},
		"filter failed":     {raw(3, opFilter, uint32(unix.EACCES), 0), Report{Kind: Failed, Stage: "load seccomp filter", Errno: unix.EACCES}, false},
		"unknown operation": {raw(3, 99, 1, 0), Report{Kind: Failed, Stage: "operation 99", Errno: 1}, false},
		"unknown kind":      {raw(9, 0, 0, 0), Report{}, true},
		"cut short":         {raw(1, 0, 0), Report{}, true},
		"nothing":           {nil, Report{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadReport(bytes.NewReader(tc.in))
			if got != tc.want || (err != nil) != tc.err {
				t.Errorf("%+v, %v", got, err)
			}
			if len(tc.in) == 0 && err != io.EOF {
				t.Errorf("end: %v", err)
			}
		})
	}
}
