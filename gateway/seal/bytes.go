package seal

import (
	"encoding/binary"
	"io"
)

// SealBytes seals a small secret that is no evidence, such as a token key on its
// way through Kafka, directly under the master key:
//
//	version 1 byte (2) | master key id 4 bytes big endian | nonce 12 bytes | AES-256-GCM(plaintext) with tag
//
// The purpose is additional data, so that a blob opens for nothing else; the
// version keeps it apart from evidence and from wrapped data keys. Nonces are
// random, which bounds one master key to about 2^32 blobs (NIST SP 800-38D, 8.3).
func (m *Master) SealBytes(purpose string, plain []byte, entropy io.Reader) ([]byte, error) {
	blob := make([]byte, bytesHeadLen, bytesHeadLen+len(plain)+tagLen)
	blob[0] = bytesVersion
	binary.BigEndian.PutUint32(blob[1:5], m.id)
	if _, err := io.ReadFull(entropy, blob[5:]); err != nil {
		return nil, err
	}
	return m.aead.Seal(blob, blob[5:bytesHeadLen], plain, bytesAD(purpose)), nil
}

// OpenBytes returns the secret of a blob that SealBytes made for the purpose.
func (r *Ring) OpenBytes(purpose string, blob []byte) ([]byte, error) {
	if len(blob) < bytesHeadLen+tagLen || blob[0] != bytesVersion {
		return nil, ErrFormat
	}
	master := r.masters[binary.BigEndian.Uint32(blob[1:5])]
	if master == nil {
		return nil, ErrMasterKey
	}
	plain, err := master.aead.Open(nil, blob[5:bytesHeadLen], blob[bytesHeadLen:], bytesAD(purpose))
	if err != nil {
		return nil, ErrForged
	}
	return plain, nil
}

const (
	bytesVersion = 2
	bytesHeadLen = 1 + 4 + 12
)

// bytesAD starts with a NUL, which no tenant does: wrapped data keys have the
// tenant as additional data under the same master key.
func bytesAD(purpose string) []byte { return append([]byte("\x00bytes\x00"), purpose...) }
