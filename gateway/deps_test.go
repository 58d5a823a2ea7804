package gateway

import "clickgate/gateway/durable"

var _ Log = (*durable.Log)(nil)
