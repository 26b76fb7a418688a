package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	for name, run := range map[string]func([]string) int{
		"count": count, "lines": echoLines, "resized": resized, "password": password, "raw": raw, "front": front,
		"plain": plain, "leave": leave, "fds": fds, "jobserver": jobserver,
	} {
		commands[name] = run
	}
}

// count says `ready`, and how often it got the signal of that number once it has, and none more for a while. It ends
// with 7.
func count(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return complain(err)
	}
	caught := make(chan os.Signal, 64)
	signal.Notify(caught, syscall.Signal(n))
	fmt.Println("ready")
	limit := time.After(time.Minute)
	for times := 0; ; times++ {
		select {
		case <-caught:
			limit = time.After(250 * time.Millisecond)
		case <-limit:
			fmt.Println("times", times)
			return 7
		}
	}
}

// echoLines says `ready` and repeats what it reads, up to the line `quit`.
func echoLines([]string) int {
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() && in.Text() != "quit" {
		fmt.Printf("read <%s>\n", in.Text())
	}
	return 0
}

// resized tells the size of its terminal, now and with each change; after a line of input how many there were.
func resized([]string) int {
	changes := make(chan os.Signal, 64)
	signal.Notify(changes, syscall.SIGWINCH)
	end := make(chan bool)
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		time.Sleep(300 * time.Millisecond)
		close(end)
	}()
	for n := 0; ; n++ {
		w, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
		if err != nil {
			return complain(err)
		}
		fmt.Printf("size %dx%d.\n", w.Col, w.Row)
		select {
		case <-changes:
		case <-end:
			fmt.Printf("changes %d.\n", n)
			return 0
		}
	}
}

// modes changes those of standard input and returns those before.
func modes(change func(*unix.Termios)) (*unix.Termios, error) {
	before, err := unix.IoctlGetTermios(0, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	after := *before
	change(&after)
	return before, unix.IoctlSetTermios(0, unix.TCSETS, &after)
}

// password asks for a line without echo and prints its length.
func password([]string) int {
	before, err := modes(func(t *unix.Termios) { t.Lflag &^= unix.ECHO })
	if err != nil {
		return complain(err)
	}
	fmt.Print("Password: ")
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err == nil {
		err = unix.IoctlSetTermios(0, unix.TCSETS, before)
	}
	if err != nil {
		return complain(err)
	}
	fmt.Printf("\nlength %d\n", len(line)-1)
	return 0
}

// raw makes the terminal raw, says `ready` and waits to be killed.
func raw(args []string) int {
	_, err := modes(func(t *unix.Termios) {
		t.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
		t.Oflag &^= unix.OPOST
	})
	if err != nil {
		return complain(err)
	}
	return wait(nil)
}

// front brings itself to the terminal's front in a process group of its own, and is killed there.
func front([]string) int {
	signal.Ignore(syscall.SIGTTOU)
	if err := syscall.Setpgid(0, 0); err != nil {
		return complain(err)
	}
	if err := unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, os.Getpid()); err != nil {
		return complain(err)
	}
	fmt.Println("in front")
	return raise([]string{"9"})
}

// plain says `ready` and waits for a signal of that number, for which it has no handler, not even the runtime's.
func plain(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return complain(err)
	}
	standard(n)
	return wait(nil)
}

// leave leaves a child behind that has all descriptors, and ends.
func leave([]string) int {
	cmd := exec.Command("/proc/self/exe", "wait")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return complain(err)
	}
	return 0
}

// fds prints what is read from each descriptor, and whether LISTEN_PID means this process.
func fds(args []string) int {
	for _, arg := range args {
		n, err := strconv.Atoi(arg)
		if err != nil {
			return complain(err)
		}
		content, err := io.ReadAll(os.NewFile(uintptr(n), arg))
		if err != nil {
			content = []byte("closed")
		}
		fmt.Printf("%s: %s\n", arg, strings.TrimSpace(string(content)))
	}
	fmt.Println("mine:", os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()), "fds:", os.Getenv("LISTEN_FDS"))
	return 0
}

// jobserver takes a token from the make that called it, and gives it back.
func jobserver([]string) int {
	var in, out *os.File
	for _, word := range strings.Fields(os.Getenv("MAKEFLAGS")) {
		auth, ok := strings.CutPrefix(word, "--jobserver-auth=")
		if !ok {
			continue
		}
		var r, w int
		if path, fifo := strings.CutPrefix(auth, "fifo:"); fifo {
			f, err := os.OpenFile(filepath.Clean(path), os.O_RDWR, 0)
			if err != nil {
				return complain(err)
			}
			in, out = f, f
		} else if _, err := fmt.Sscanf(auth, "%d,%d", &r, &w); err == nil {
			in, out = os.NewFile(uintptr(r), "r"), os.NewFile(uintptr(w), "w")
		}
	}
	if in == nil {
		fmt.Println("no jobserver")
		return 3
	}
	token := make([]byte, 1)
	if _, err := in.Read(token); err != nil {
		return complain(err)
	}
	if _, err := out.Write(token); err != nil {
		return complain(err)
	}
	fmt.Println("token taken and given back")
	return 0
}
