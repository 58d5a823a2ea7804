package givt

import (
	"fmt"
	"net/netip"
	"strings"
)

// The files of the IAB/ABC International Spiders and Bots List are lines of fields set apart by |, with # before
// comments. Their patterns are texts, found anywhere in the agent or at its start, without regard to case. The field
// order is that of Snowplow's iab-spiders-and-robots-java-client 0.2 (Apache-2.0), which reads the same files.
//
// The list decides in this order: an agent that the include file does not hold is no browser's; one that the exclude
// file holds is a robot's, unless it holds one of the record's exceptions; and so is an address of the address file.
// A record that is not active is not loaded: whoever wants the list as it was at an earlier time loads the files of
// that time, each from its own activation on.

// parseIAB reads one file; record makes a pattern of the fields of a line, ok false for one that is not active.
func parseIAB(name string, data []byte, record func(fields []string) (p Pattern, ok bool, err error)) ([]Pattern, error) {
	var patterns []Pattern
	for n, line := range lines(data) {
		fields := strings.Split(line, "|")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		p, active, err := record(fields)
		switch {
		case err != nil:
			return nil, lineError(name, n, err)
		case !active:
			continue
		case p.Text == "" || len(p.Text) > MaxAgent:
			return nil, lineError(name, n, fmt.Errorf("a pattern has 1 to %d bytes, not %d", MaxAgent, len(p.Text)))
		}
		p.List, p.plain = name, true
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// includeRecord reads pattern, active, start of string, inactive date.
func includeRecord(fields []string) (p Pattern, ok bool, err error) {
	if len(fields) < 2 || len(fields) > 4 {
		return p, false, fmt.Errorf("want pattern|active|start of string|inactive date; got %d fields", len(fields))
	}
	p.Text = fields[0]
	if ok, err = iabFlag("active", fields, 1); err == nil {
		p.start, err = iabFlag("start of string", fields, 2)
	}
	return p, ok, err
}

// excludeRecord reads pattern, active, exceptions set apart by commas, a flag that an include check makes needless,
// primary impact, start of string, inactive date.
func excludeRecord(fields []string) (p Pattern, ok bool, err error) {
	if len(fields) < 2 || len(fields) > 7 {
		return p, false, fmt.Errorf("want pattern|active|exceptions|flag|impact|start of string|inactive date; got %d fields", len(fields))
	}
	p.Text, p.Class = fields[0], Crawler
	if len(fields) > 2 {
		for e := range strings.SplitSeq(fields[2], ",") {
			if e = strings.TrimSpace(e); e != "" {
				p.except = append(p.except, fold(e))
			}
		}
	}
	if ok, err = iabFlag("active", fields, 1); err == nil {
		p.start, err = iabFlag("start of string", fields, 5)
	}
	return p, ok, err
}

// iabFlag reads a 0 or 1; an empty or missing one is 0.
func iabFlag(field string, fields []string, at int) (bool, error) {
	if at >= len(fields) || fields[at] == "" || fields[at] == "0" {
		return false, nil
	}
	if fields[at] == "1" {
		return true, nil
	}
	return false, fmt.Errorf("%s: %q is neither 0 nor 1", field, fields[at])
}

// parseIABAddresses reads one prefix or address a line. Bits past a prefix's length are nothing, as that list has it.
func parseIABAddresses(name string, data []byte) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for n, line := range lines(data) {
		if p, err := netip.ParsePrefix(line); err == nil {
			line = p.Masked().String()
		}
		p, err := parsePrefix(line)
		if err != nil {
			return nil, lineError(name, n, err)
		}
		out = append(out, p)
	}
	return out, nil
}
