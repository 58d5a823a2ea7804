package iforest

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Model is a trained forest. It is immutable and safe for concurrent use.
type Model struct {
	info     Info
	height   int
	bits     int      // of a node that name its column
	terms    int      // of a slanted cut; 0: standard forest
	small    bool     // PathLength may take walkSmall
	nodes    []uint32 // see "Layout"
	leaves   []uint16 // by slot: index into paths
	paths    []Length // by class of leaf: cuts above it and what its rows would need still
	sizes    []uint16 // by class of leaf: rows
	means    []Length // by node: mean path length of the sample's rows below it
	cuts     cuts
	unit     float64 // summed path length that scores 0.5
	expected Length  // summed means of the roots
	hash     [sha256.Size]byte
}

// Info returns the model's metadata.
func (m *Model) Info() Info {
	info := m.info
	info.Names = slices.Clone(info.Names)
	return info
}

// Features returns the number of values that a row needs.
func (m *Model) Features() int { return len(m.info.Names) }

// Hash names the model in verdicts: the first 8 bytes of the SHA-256 of its file,
// big-endian, so that it prints as the file's checksum starts. Never 0, which
// means no model there.
func (m *Model) Hash() uint64 { return max(binary.BigEndian.Uint64(m.hash[:]), 1) }

// Checksum returns the SHA-256 of the file up to the checksum that ends it.
func (m *Model) Checksum() [sha256.Size]byte { return m.hash }

// forest is the inverse of forest.model.
func (m *Model) forest() *forest {
	f := &forest{Info: m.info, height: m.height, nodes: m.nodes, sizes: make([]uint16, len(m.leaves)), cuts: m.cuts}
	for i, class := range m.leaves {
		f.sizes[i] = m.sizes[class]
	}
	return f
}

// seal computes the hash.
func (m *Model) seal() { m.hash = sha256.Sum256(m.forest().appendBody(nil)) }
