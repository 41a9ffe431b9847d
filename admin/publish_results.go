package admin

import (
	"c10m/bus"

	"github.com/prometheus/client_golang/prometheus"
)

// A publishResult says how a request to publish ended. Each has a counter.
type publishResult int

const (
	resultPublished publishResult = iota
	resultBadRequest
	resultTooBig
	resultIncomplete
	resultOverloaded
	resultBusDown
	resultUnconfirmed
	resultKeyReused
	publishResults
)

// publishResultNames are the values of the label.
var publishResultNames = [publishResults]string{
	resultPublished:   "published",
	resultBadRequest:  "bad_request", // 400, 405, 415
	resultTooBig:      "too_big",     // 413
	resultIncomplete:  "incomplete",  // 400, if anybody is there to read it
	resultOverloaded:  "overloaded",  // 429
	resultBusDown:     "bus_down",    // 503
	resultUnconfirmed: "unconfirmed", // 503
	resultKeyReused:   "key_reused",  // 422
}

var (
	httpPublishesTotal = newDesc("http_publishes_total", "Requests to publish over HTTP, by result: overloaded means that loops are behind or that too many publish at once; bus_down and unconfirmed that the bus failed, the latter that messages may have been published all the same.", "result")
	httpMessagesTotal  = newDesc("http_messages_total", "Messages that came over HTTP and that the bus took.")
	httpWaiting        = newDesc("http_publishes_waiting", "Requests to publish that wait for others to be done. A rise comes before c10m_http_publishes_total, result overloaded.")
)

// repeatMetrics are the keys of messages.
var repeatMetrics = metricsOf[bus.RepeatsStats]([]number{
	{"publish_repeats_total", "Repeats", "Messages with a key (Idempotency-Key, PUB <channel> <key>) that had come before, and were answered and not published again."},
	{"publish_keys_reused_total", "KeysReused", "Messages that were refused since their key was another message's."},
	{"publish_keys_forgotten_total", "KeysForgotten", "Keys that were forgotten before their five minutes: more came than --publish-keys."},
	{"publish_keys", "Keys", "Keys of messages that are remembered."},
})

// Describe implements prometheus.Collector.
func (p *publisher) Describe(descs chan<- *prometheus.Desc) { prometheus.DescribeByCollect(p, descs) }

// Collect implements prometheus.Collector.
func (p *publisher) Collect(metrics chan<- prometheus.Metric) {
	out := output(metrics)
	out.reasons(httpPublishesTotal, publishResultNames[:], p.results[:])
	out.value(httpMessagesTotal, prometheus.CounterValue, float64(p.sent.Load()))
	out.value(httpWaiting, prometheus.GaugeValue, float64(p.waiting.Load()))
	stats := p.repeats.Stats()
	out.numbers(repeatMetrics, &stats)
}
