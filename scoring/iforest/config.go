package iforest

import (
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// Limits of a model.
const (
	MaxFeatures = 1024
	MaxTrees    = 4096
	MaxSample   = 4096
	maxText     = 255 // bytes of a feature's name, and of CreatedBy
)

// FullExtension cuts with all features at once.
const FullExtension = -1

// Config says how to train. Its zero value is the standard forest of Liu et al.
type Config struct {
	Trees  int // 0: 100
	Sample int // rows per tree, drawn without repeats; 0: 256; all rows when there are fewer
	Seed   uint64
	// Extension is the extension level of Hariri et al.: every cut is a hyperplane
	// over Extension+1 features. 0 is the standard forest; FullExtension, and
	// whatever is more than the features allow, means all of them.
	Extension int
	// What follows is kept in the model and changes no tree.
	Names         []string // of the features; nil: f0, f1 ...
	VectorVersion uint32   // what the features mean; 0: no click vector
	CreatedBy     string   // program and version; without a time, so that equal training gives equal bytes
}

// withDefaults returns cfg with every choice made, for rows of so many features.
func (cfg Config) withDefaults(rows, features int) Config {
	if cfg.Trees == 0 {
		cfg.Trees = 100
	}
	if cfg.Sample == 0 {
		cfg.Sample = 256
	}
	cfg.Sample = min(cfg.Sample, rows)
	if cfg.Extension == FullExtension || cfg.Extension >= features {
		cfg.Extension = features - 1
	}
	if cfg.Names == nil {
		cfg.Names = make([]string, features)
		for i := range cfg.Names {
			cfg.Names[i] = fmt.Sprintf("f%d", i)
		}
	}
	return cfg
}

// validate checks what withDefaults returns.
func (cfg Config) validate(features int) error {
	switch {
	case features < 1 || features > MaxFeatures:
		return fmt.Errorf("iforest: %d features; a forest takes 1 to %d", features, MaxFeatures)
	case cfg.Trees < 1 || cfg.Trees > MaxTrees:
		return fmt.Errorf("iforest: %d trees; choose 1 to %d", cfg.Trees, MaxTrees)
	case cfg.Sample < 2 || cfg.Sample > MaxSample:
		return fmt.Errorf("iforest: a sample of %d rows; choose 2 to %d", cfg.Sample, MaxSample)
	case cfg.Extension < 0:
		return fmt.Errorf("iforest: extension level %d; choose 0 to %d, or FullExtension", cfg.Extension, features-1)
	case len(cfg.Names) != features:
		return fmt.Errorf("iforest: %d names for %d features", len(cfg.Names), features)
	}
	for i, text := range append([]string{cfg.CreatedBy}, cfg.Names...) {
		if len(text) > maxText || !utf8.ValidString(text) {
			return fmt.Errorf("iforest: text %d of CreatedBy and Names is longer than %d bytes or not UTF-8", i, maxText)
		}
	}
	return nil
}

// height is the number of cuts after which a tree stops: ceil(log2(sample)).
func height(sample int) int { return bits.Len(uint(sample - 1)) }

// columnBits is the part of a node that names the column. Models of up to 16
// features share one layout, so that the loop over them has constant masks.
func columnBits(features int) int { return max(4, bits.Len(uint(features-1))) }
