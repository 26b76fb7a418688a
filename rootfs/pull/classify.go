package pull

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/docker/distribution/registry/api/errcode"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/signature"

	"github.com/flake-launcher/flake-launcher/rootfs/unpack"
)

// explain makes the error that a caller sees.
func explain(ctx context.Context, op, source string, err error) error {
	if err == nil {
		return nil
	}
	var done *Error
	if errors.As(err, &done) {
		return err
	}
	// A cancelled context makes everything fail in its own way: the cause counts.
	if cause := context.Cause(ctx); cause != nil {
		return &Error{Op: op, Source: source, Reason: ErrInterrupted, Err: cause}
	}
	return &Error{Op: op, Source: source, Reason: reason(err), Err: err}
}

// reason finds the sentinel for an error. What this package found out itself
// comes first, then types, then the status a registry answered with, and only
// then texts, where the library has nothing better.
func reason(err error) error {
	for sentinel := range remedies {
		if errors.Is(err, sentinel) {
			return sentinel
		}
	}
	for _, find := range []func(error) error{reasonLocal, reasonRegistry, reasonNetwork, reasonText} {
		if r := find(err); r != nil {
			return r
		}
	}
	return nil
}

// entryErrors are what the kernel says of an entry that does not fit those before it: below a file, a hard link to what the
// layer lacks. The store's own files are not their cause.
var entryErrors = []error{syscall.ENOENT, syscall.ENOTDIR, syscall.EISDIR, syscall.EEXIST, syscall.ELOOP, syscall.ENAMETOOLONG}

func reasonLocal(err error) error {
	var (
		policy      signature.PolicyRequirementError
		invalidSig  signature.InvalidSignatureError
		artifact    manifest.NonImageArtifactError
		noLayout    layout.ImageNotFoundError
		sameReasons = []struct{ from, to error }{
			{syscall.ENOSPC, ErrNoSpace},
			{syscall.EDQUOT, ErrNoSpace},
			{syscall.EFBIG, ErrSizeLimit},
			{syscall.EROFS, ErrReadOnly},
			{unpack.ErrNoXattrs, ErrFileSystem},
			{unpack.ErrNoWhiteouts, ErrFileSystem},
			{unpack.ErrUnsafe, ErrUnsafe},
			{unpack.ErrTruncated, ErrTruncated},
			{unpack.ErrNotTar, ErrBadImage},
			{layout.ErrMoreThanOneImage, ErrReference},
			{io.ErrUnexpectedEOF, ErrTruncated},
			{fs.ErrNotExist, ErrNoFile},
		}
		entry *unpack.EntryError
	)
	switch {
	case errors.As(err, &entry) && slices.ContainsFunc(entryErrors, func(e error) bool { return errors.Is(entry, e) }):
		return ErrLayer
	case errors.As(err, &policy), errors.As(err, &invalidSig):
		return ErrPolicy
	case errors.As(err, &artifact):
		return ErrBadImage
	case errors.As(err, &noLayout):
		return ErrUnknown
	}
	for _, s := range sameReasons {
		if errors.Is(err, s.from) {
			return s.to
		}
	}
	return nil
}

// registryCodes are the codes of the distribution specification.
var registryCodes = map[string]error{
	"MANIFEST_UNKNOWN": ErrUnknown,
	"NAME_UNKNOWN":     ErrUnknown,
	"NAME_INVALID":     ErrUnknown,
	"BLOB_UNKNOWN":     ErrUnknown,
	"NOT_FOUND":        ErrUnknown,
	"UNAUTHORIZED":     ErrUnauthorized,
	"DENIED":           ErrUnauthorized,
	"TOOMANYREQUESTS":  ErrRateLimit,
}

func reasonRegistry(err error) error {
	var credentials docker.ErrUnauthorizedForCredentials
	if errors.As(err, &credentials) {
		return ErrUnauthorized
	}
	if errors.Is(err, docker.ErrTooManyRequests) {
		return ErrRateLimit
	}
	var coder errcode.ErrorCoder
	if errors.As(err, &coder) {
		if r, ok := registryCodes[coder.ErrorCode().Descriptor().Value]; ok {
			return r
		}
	}
	var status docker.UnexpectedHTTPStatusError
	if errors.As(err, &status) {
		switch code := status.StatusCode; {
		case code == http.StatusUnauthorized, code == http.StatusForbidden:
			return ErrUnauthorized
		case code == http.StatusNotFound:
			return ErrUnknown
		case code == http.StatusTooManyRequests:
			return ErrRateLimit
		case code >= http.StatusInternalServerError:
			return ErrUnreachable
		}
	}
	return nil
}

func reasonNetwork(err error) error {
	var (
		unknownCA x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		netErr    net.Error
	)
	switch {
	case errors.As(err, &unknownCA), errors.As(err, &hostname), errors.As(err, &invalid),
		errors.As(err, &verify), errors.As(err, &record):
		return ErrTLS
	// What net/http says of a server without TLS has no type.
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return ErrTLS
	// A bare errno and the errors of files answer to net.Error too: those of a connection come wrapped.
	case fileError(err):
		return ErrLocal
	case errors.As(err, &netErr), errors.Is(err, io.EOF):
		return ErrUnreachable
	}
	return nil
}

// fileError tells an error of this machine's files from one of a connection.
func fileError(err error) bool {
	var (
		op   *net.OpError
		file *fs.PathError
		link *os.LinkError
		call *os.SyscallError
		no   syscall.Errno
	)
	if errors.As(err, &op) {
		return false
	}
	return errors.As(err, &file) || errors.As(err, &link) || errors.As(err, &call) || errors.As(err, &no)
}

// texts are parts of messages of containers/image that have no type.
var texts = []struct {
	text   string
	reason error
}{
	{"does not match expected", ErrDigest},
	{"does not match provided manifest digest", ErrDigest},
	{"does not match selected manifest digest", ErrDigest},
	{"does not match config's RootFS.DiffIDs", ErrDigest},
	{"no image found in manifest list", ErrArchitecture},
	{"no image found in image index", ErrArchitecture},
	{"StatusCode: 401", ErrUnauthorized},
	{"StatusCode: 403", ErrUnauthorized},
	{"StatusCode: 404", ErrUnknown},
	{"StatusCode: 429", ErrRateLimit},
	{"StatusCode: 5", ErrUnreachable},
	{"not found", ErrUnknown},
	{"Not Found", ErrUnknown},
	{"Some layer tarfiles are missing", ErrTruncated},
	{"unsupported schema version", ErrBadImage},
	{"unsupported manifest", ErrBadImage},
	{"Unimplemented manifest", ErrBadImage},
	{"invalid character", ErrBadImage},
	{"unexpected end of JSON", ErrBadImage},
}

func reasonText(err error) error {
	for _, t := range texts {
		if strings.Contains(err.Error(), t.text) {
			return t.reason
		}
	}
	return nil
}
