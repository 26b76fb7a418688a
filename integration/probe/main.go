// Command probe is the app inside the images of the quick end-to-end tests: one static program that
// does what a test asks for and prints what it sees. It is no part of the product.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// commands by name; each returns its exit status.
var commands = map[string]func(args []string) int{
	"args":   printJSON,
	"env":    func([]string) int { return printJSON(os.Environ()) },
	"cat":    cat,
	"sum":    sum,
	"ls":     list,
	"stat":   stat,
	"write":  write,
	"yes":    yes,
	"each":   each,
	"ids":    ids,
	"proc":   freshProc,
	"exit":   func(args []string) int { n, _ := strconv.Atoi(args[0]); return n },
	"raise":  raise,
	"wait":   wait,
	"orphan": orphan,
	"status": status,
	"id":     id,
	"touch":  touch,
	"chown":  chown,
	"cwd":    cwd,
	"xattr":  xattr,
	"spoil":  spoil,
	"look":   look,
	"rename": rename,
	"mkdir":  mkdir,
	"fill":   fill,
	"crowd":  crowd,
	"size":   size,
	"insist": insist,
}

// main runs the command named by the first argument, or by argv[0] if that names one.
func main() {
	args := os.Args[1:]
	name := filepath.Base(os.Args[0])
	if commands[name] == nil && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	run := commands[name]
	if run == nil {
		fmt.Printf("probe without a command, as %q with %q\n", os.Args[0], args)
		return
	}
	os.Exit(run(args))
}

// freshProc does what a hostile app would: it makes namespaces of its own, mounts /proc there (rw, ro, or ro and then
// writable), tries to write where the kernel takes orders from root, and prints how far it got.
func freshProc(args []string) int {
	const again = "PROBE_IN_NAMESPACES"
	if os.Getenv(again) == "" {
		cmd := exec.Command("/proc/self/exe", "proc", args[0])
		cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdout, os.Stderr, append(os.Environ(), again+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		if err := cmd.Run(); err != nil {
			fmt.Println("namespaces:", err)
			return 1
		}
		return 0
	}
	flags := uintptr(syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC)
	if args[0] != "rw" {
		flags |= syscall.MS_RDONLY
	}
	err := syscall.Mount("proc", "/proc", "proc", flags, "")
	if err == nil && args[0] == "remount" {
		flags &^= syscall.MS_RDONLY
		err = syscall.Mount("", "/proc", "", flags|syscall.MS_REMOUNT|syscall.MS_BIND, "")
	}
	if err != nil {
		fmt.Println("mount:", err)
		return 0
	}
	f, err := os.OpenFile("/proc/sys/kernel/core_pattern", os.O_WRONLY, 0)
	if err == nil {
		f.Close()
		fmt.Println("writable")
		return 0
	}
	fmt.Println("open:", errors.Unwrap(err))
	return 0
}

// ids prints who it is.
func ids([]string) int {
	groups, err := os.Getgroups()
	if err != nil {
		return complain(err)
	}
	fmt.Println("uid", os.Getuid(), "gid", os.Getgid(), "groups", groups)
	return 0
}

// chown gives a file to a user and the group of the same number.

// each runs commands one after the other, with the word "then" between them, and ends with the first status that is not 0.
func each(args []string) int {
	for len(args) > 0 {
		n := len(args)
		for i, word := range args {
			if word == "then" {
				n = i
				break
			}
		}
		cmd := exec.Command(args[0], args[1:n]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			if code := cmd.ProcessState.ExitCode(); cmd.ProcessState != nil && code > 0 {
				return code
			}
			fmt.Fprintln(os.Stderr, "probe:", err)
			return 1
		}
		if n < len(args) {
			n++
		}
		args = args[n:]
	}
	return 0
}

func printJSON(list []string) int {
	if list == nil {
		list = []string{}
	}
	if err := json.NewEncoder(os.Stdout).Encode(list); err != nil {
		return 1
	}
	return 0
}

// complain reports an error as a plain program would.
func complain(err error) int {
	fmt.Fprintln(os.Stderr, "probe:", err)
	return 1
}

// cat copies the files, or standard input, to standard output.
func cat(args []string) int {
	if len(args) == 0 {
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			return complain(err)
		}
	}
	for _, path := range args {
		content, err := os.ReadFile(path)
		if err != nil {
			return complain(err)
		}
		os.Stdout.Write(content)
	}
	return 0
}

// sum prints the bytes and the SHA-256 of standard input.
func sum([]string) int {
	h := sha256.New()
	n, err := io.Copy(h, os.Stdin)
	if err != nil {
		return complain(err)
	}
	fmt.Printf("%d %x\n", n, h.Sum(nil))
	return 0
}

// list prints the names in each directory, sorted.
func list(args []string) int {
	for _, dir := range args {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return complain(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		sort.Strings(names)
		fmt.Println(strings.Join(names, " "))
	}
	return 0
}

// stat prints `TYPE MODE UID:GID SIZE LINK` of each path, or `none`.
func stat(args []string) int {
	for _, path := range args {
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			fmt.Println("none")
			continue
		}
		link, _ := os.Readlink(path)
		fmt.Printf("%o %o %d:%d %d %s\n", st.Mode&syscall.S_IFMT, st.Mode&0o7777, st.Uid, st.Gid, st.Size, link)
	}
	return 0
}

// write puts the second argument into the file named by the first.
func write(args []string) int {
	if err := os.WriteFile(args[0], []byte(args[1]), 0o644); err != nil {
		return complain(err)
	}
	return 0
}

// yes writes lines until nobody reads them: SIGPIPE is its end.
func yes([]string) int {
	w := bufio.NewWriter(os.Stdout)
	for {
		if _, err := w.WriteString("y\n"); err != nil {
			return complain(err)
		}
	}
}

// raise ends the probe by a signal, by its number.
func raise(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return complain(err)
	}
	standard(n)
	if err := syscall.Kill(os.Getpid(), syscall.Signal(n)); err != nil {
		return complain(err)
	}
	time.Sleep(10 * time.Second)
	return 99
}

// standard makes a signal do what it does by itself. The runtime keeps handlers, which signal.Reset does not take away.
func standard(n int) {
	var dfl [4]uintptr // struct sigaction of the kernel: SIG_DFL, no flags, nothing masked
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&dfl)), 0, 8, 0, 0)
}

// wait says `ready` and sleeps until one of the signals named by number arrives, of which it prints
// the number and ends with 7. Others act as ever.
func wait(args []string) int {
	caught := make(chan os.Signal, 4)
	for _, arg := range args {
		n, err := strconv.Atoi(arg)
		if err != nil {
			return complain(err)
		}
		signal.Notify(caught, syscall.Signal(n))
	}
	fmt.Println("ready")
	select {
	case s := <-caught:
		fmt.Println(int(s.(syscall.Signal)))
		return 7
	case <-time.After(time.Minute):
		return 98
	}
}

// size prints `ROWSxCOLUMNS` of the terminal at standard input, and again whenever it changes, until a line comes.
func size([]string) int {
	changed := make(chan os.Signal, 4)
	signal.Notify(changed, syscall.SIGWINCH)
	typed := make(chan bool)
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		close(typed)
	}()
	for {
		var w [4]uint16
		if _, _, err := syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&w))); err != 0 {
			return complain(err)
		}
		fmt.Printf("%dx%d\n", w[0], w[1])
		select {
		case <-changed:
		case <-typed:
			return 5
		}
	}
}

// orphan leaves a child behind and ends; the child holds no pipe of ours.
func orphan([]string) int {
	cmd := exec.Command("/proc/self/exe", "wait")
	if err := cmd.Start(); err != nil {
		return complain(err)
	}
	fmt.Println(cmd.Process.Pid)
	return 0
}

// id prints `UID:GID NAME`, the name as the files of the root have it.
func id([]string) int {
	name := "?"
	if u, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil {
		name = u.Username
	}
	fmt.Printf("%d:%d %s\n", os.Getuid(), os.Getgid(), name)
	return 0
}

// cwd prints where it is, as the kernel says and as PWD does.
func cwd([]string) int {
	dir, err := syscall.Getwd()
	if err != nil {
		return complain(err)
	}
	fmt.Println(dir, os.Getenv("PWD"))
	return 0
}

// xattr prints the names of the extended attributes of each path.
func xattr(args []string) int {
	for _, path := range args {
		buf := make([]byte, 4096)
		n, err := syscall.Listxattr(path, buf)
		if err != nil {
			n = 0
		}
		fmt.Println(strings.Join(strings.Split(string(buf[:n]), "\x00"), " "))
	}
	return 0
}

// spoil tries to change each file in all ways there are, and prints how far that got; what matters is the file outside.
func spoil(args []string) int {
	for _, path := range args {
		fd, err := syscall.Open(path, syscall.O_RDWR, 0)
		if err == nil {
			var st syscall.Stat_t
			_ = syscall.Fstat(fd, &st)
			if m, err := syscall.Mmap(fd, 0, 1, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED); err == nil && st.Size > 0 {
				m[0] ^= 0xff
				_ = syscall.Munmap(m)
			}
			_, _ = syscall.Write(fd, []byte("spoiled"))
			_ = syscall.Ftruncate(fd, 0)
			syscall.Close(fd)
		}
		other := path + ".other"
		_ = os.WriteFile(other, []byte("other"), 0o644)
		fmt.Println(err == nil, os.Chmod(path, 0o600) == nil, os.Chtimes(path, time.Time{}, time.Unix(1, 0)) == nil,
			os.Rename(other, path) == nil, os.Remove(path) == nil)
	}
	return 0
}

// look prints a line of each path: how it is, and the SHA-256 of what is in it. The paths are lines of standard input.
func look([]string) int {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var st syscall.Stat_t
		if err := syscall.Lstat(in.Text(), &st); err != nil {
			fmt.Println(in.Text(), "none")
			continue
		}
		link, _ := os.Readlink(in.Text())
		content := ""
		if st.Mode&syscall.S_IFMT == syscall.S_IFREG {
			text, err := os.ReadFile(in.Text())
			content = fmt.Sprintf("%x", sha256.Sum256(text))
			if err != nil {
				content = "unreadable"
			}
		}
		size := st.Size
		if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			size = 0
		}
		fmt.Println(in.Text(), fmt.Sprintf("%o %d:%d %d %d %q %s", st.Mode, st.Uid, st.Gid, size, st.Mtim.Sec, link, content))
	}
	return 0
}

// fill takes so many MiB of memory and prints their number.
func fill(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return complain(err)
	}
	all := make([][]byte, n)
	for i := range all {
		all[i] = make([]byte, 1<<20)
		for at := 0; at < 1<<20; at += 4096 {
			all[i][at] = 1
		}
	}
	fmt.Println(len(all))
	return 0
}

// crowd starts so many processes, as far as it can, and prints whether it could.
func crowd(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return complain(err)
	}
	for range n {
		if err := exec.Command("/proc/self/exe", "wait").Start(); err != nil {
			fmt.Println(errors.Is(err, syscall.EAGAIN))
			return 0
		}
	}
	fmt.Println("all")
	return 0
}

// rename gives the first path the name of the second and prints `ok` or the error's name.
func rename(args []string) int {
	outcome(syscall.Rename(args[0], args[1]))
	return 0
}

// mkdir makes each directory and prints `ok` or the error's name.
func mkdir(args []string) int {
	for _, path := range args {
		outcome(syscall.Mkdir(path, 0o755))
	}
	return 0
}

// touch makes each file, or opens it for writing, and prints `ok` or the error's name.
func touch(args []string) int {
	for _, path := range args {
		fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_CLOEXEC, 0o644)
		if err == nil {
			syscall.Close(fd)
		}
		outcome(err)
	}
	return 0
}

// chown gives the file named last to each UID:GID before it and prints `ok` or the error's name.
func chown(args []string) int {
	for _, owner := range args[:len(args)-1] {
		var uid, gid int
		if _, err := fmt.Sscanf(owner, "%d:%d", &uid, &gid); err != nil {
			return complain(err)
		}
		outcome(syscall.Lchown(args[len(args)-1], uid, gid))
	}
	return 0
}

func outcome(err error) {
	names := map[error]string{
		nil: "ok", syscall.EPERM: "EPERM", syscall.EACCES: "EACCES", syscall.EINVAL: "EINVAL", syscall.EROFS: "EROFS", syscall.ENOENT: "ENOENT",
		syscall.EOVERFLOW: "EOVERFLOW", syscall.EBUSY: "EBUSY", syscall.EXDEV: "EXDEV", syscall.EEXIST: "EEXIST",
	}
	name, ok := names[err]
	if !ok {
		name = err.Error()
	}
	fmt.Println(name)
}

// status prints what the process is to itself: pid, parent, and the lines of /proc/self/status asked for.
func status(args []string) int {
	fmt.Println("pid", os.Getpid(), "ppid", os.Getppid())
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return complain(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		for _, want := range args {
			if strings.HasPrefix(line, want+":") {
				fmt.Println(line)
			}
		}
	}
	return 0
}
