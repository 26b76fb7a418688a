package image

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// debianRegistry is the configuration of docker-registry: files in a directory, plain HTTP, and no
// word in the log but errors.
const debianRegistry = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}
http: {addr: %q}
`

const registryPatience = 20 * time.Second

// ServeDir starts the program docker-registry on a free port of loopback with its files below dir
// and returns its host:port once it answers. The caller calls stop; the
// registry of a killed caller dies with it.
func ServeDir(program, dir string) (host string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("find a free port: %w", err)
	}
	host = listener.Addr().String()
	listener.Close() // free again; nobody else on this machine asks for just this one
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf(debianRegistry, filepath.Join(dir, "data"), host)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return "", nil, err
	}
	cmd := exec.Command(program, "serve", config)
	// Its log goes to a file nobody misses: it calls every question after a new blob an error.
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return "", nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	if stop, err = tie(cmd); err != nil {
		return "", nil, fmt.Errorf("start docker-registry: %w", err)
	}
	for deadline := time.Now().Add(registryPatience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get("http://" + host + "/v2/")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return host, stop, nil
		}
	}
	stop()
	return "", nil, fmt.Errorf("docker-registry did not answer within %v", registryPatience)
}

// tie starts cmd so that it dies with this process, whatever ends it. The kernel watches the thread
// that forked, not the process: so that thread is kept until the child's end.
func tie(cmd *exec.Cmd) (stop func(), err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Process.Kill()
		<-ended
	}, nil
}
