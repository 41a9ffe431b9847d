// Package report is what a run of the load client says: the Result, and its
// forms as text, JSON and a page with plots.
//
//	report.Judge(&result)         // who was the limit
//	pass := report.Check(&result) // --criteria
//	report.Text(os.Stdout, &result)
//
// Whoever measures fills a Result and owns it. Judge and Check write into it;
// everything else only reads. Nothing here looks at a clock, a process or a
// socket, so a Result that was read back from JSON gives the same text and the
// same page.
//
// # Honesty
//
// What is not known is left out: a 0 where a figure of a process would stand
// reads as a measurement. Counts of what went wrong are always there, since
// their 0 is one. Judge says in sentences when the client, its host or the
// publisher was the limit, and the text has these before any rate.
//
// # The criteria
//
// They are the ones that a social feed used at 50 million connections:
//
//   - connections: as many open at one time as were asked for.
//   - subscriptions: messages go to that many connections, those of all streams
//     together. Who subscribes by the path has done so with the upgrade, so a
//     run of which only that is known has no such line, and neither has a Disconnect,
//     which sends messages to those who stay.
//   - connect latency: its mean is below 100 ms.
//   - level latency: the last third of the seconds of measuring is at most 1.5
//     times as slow as the first third, plus 5 ms; either by the median of the
//     means of the seconds, or by the mean of all deliveries in them. A queue
//     that grows makes every second worse than the one before and fails both.
//     One slow second among many moves only the mean; seconds with a fan-out
//     beside seconds without move only the median, when the thirds have
//     unequally many. A tenth of a millisecond that becomes two is noise, hence
//     the 5 ms. Under three seconds with messages it cannot be told, and fails
//     with that reason.
//   - mean latency: below 500 ms, for each kind of messages.
//   - received: every delivery that was due, each once, in order and unchanged.
//
// # Ends in user space
//
// A run over them (Result.UserSpace) says so in every form, with UserSpaceRemark,
// its policy of acknowledging, and what the server had to send again.
//
// # Plots
//
// They are of c10m/bench/plot; its doc.go says why not of a library. The page
// has no script and asks nobody for anything, so it can be mailed.
//
// # What looks wrong but is deliberate
//
//   - Bottlenecks are judged by means over the measured part, not by the
//     highest second: the seconds of connecting are always full.
//   - A Disconnect whose memory is not back is no fault: other programs take memory,
//     too. What is left is said, and the page has the host's memory over time.
//   - A Storm's connects are no part of the connect criterion: it drops all at
//     once to see how slow they get.
//   - The progress bar is for connecting alone. Later phases have no total, and
//     a bar that is full says nothing.
package report
