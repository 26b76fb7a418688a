// Package policy owns the administrator's word on what images may ask of the host: /etc/flake-launcher/policy.yaml, its
// schema, and what counts where it says nothing.
//
// It judges names and modes; it looks at no image and at no file of the host. What a flake's own author names (share,
// include, hostsystem) is not its business: a registration is written by who starts it, a manifest by somebody else.
// Entry points: Read, Policy.For.
package policy
