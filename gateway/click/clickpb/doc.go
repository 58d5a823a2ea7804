// Package clickpb is generated from click.proto, the wire contract. Hot paths
// use the hand-written codec of package click, which is tested against it.
package clickpb
