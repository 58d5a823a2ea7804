// Package config reads clickgate's one configuration: every component's Config
// in one tree, where a key is the path of yaml names, such as kafka.brokers.
//
// A value comes from the last of these that names it:
//
//  1. the component's DefaultConfig, then the command's own defaults
//  2. the data folder, for paths (see Source.Data)
//  3. the YAML file
//  4. the environment: CLICKGATE_KAFKA_BROKERS
//  5. the flag: --set kafka.brokers=a:9092,b:9092 (lists are separated by commas)
//
// Unknown keys, unknown CLICKGATE_ variables and impossible values are errors
// that say where the value stands and what to write instead. The file is read
// from its syntax tree and not by a generic decoder, so that all three forms
// share one set of rules (a duration without a unit is wrong everywhere) and
// every value knows its line. Anchors, aliases, merge keys and tags are refused:
// a configuration says what it means where it stands.
package config
