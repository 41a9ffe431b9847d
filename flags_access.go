package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"c10m/access"
	"c10m/conn/admission"

	"github.com/alecthomas/kong"
)

// accessFlags say from where clients may connect.
type accessFlags struct {
	Origin             []string    `group:"Who gets in" sep:"," help:"Which web pages may connect: https://example.com, https://*.example.com (all below it), http://localhost:* (any port), null (pages without an origin), or * for all; repeatable. Without it, all may. A list keeps foreign pages from using your visitors' cookies or network; it does not keep out programs, which may write any Origin. Upgrades and POSTs without one are let through; so are GETs that read (events, polls, counts) if their Host is an IP address, a local name (localhost, one label, .local, .internal), or a host of the list: list the public name, too, if programs read under it. (A page can give its own name this server's address, and its GETs carry no Origin.)"`
	AddressConnections int         `group:"Who gets in" default:"0" help:"Connections that one client address may have at once; 0 is any number. An IPv6 address counts as its /64. More are refused with 429. Too low a number locks out offices and phone networks, where thousands share an address. It costs 8 bytes a connection and about 50 an address."`
	AddressRate        addressRate `group:"Who gets in" default:"0" help:"Handshakes that one client address may begin in the long run, like 10/s, 100/m or 1000/h; 0 is any number. More are refused with 429. It protects the processors from clients in a loop, and holds up everybody behind one address when all come back at once after a deploy."`
	AddressBurst       int         `group:"Who gets in" default:"0" help:"Handshakes of one address at once that --address-rate allows after a pause; 0 is what it allows in five seconds."`
	Trusted            []string    `group:"Who gets in" sep:"," placeholder:"NETWORK" help:"Networks (10.0.0.0/8, 2001:db8::/32, 192.0.2.1) of the proxies in front, repeatable: --proxy-protocol and --forwarded-for believe these and nobody else, and their own addresses are not limited. Whoever can connect from there can claim any address."`
	ProxyProtocol      bool        `group:"Who gets in" help:"Connections from --trusted begin with a PROXY protocol header, version 1 or 2, which says who the client is (HAProxy: send-proxy-v2). Those without are refused with 400; from everybody else such a header is garbage."`
	ForwardedFor       bool        `group:"Who gets in" help:"Requests from --trusted say in X-Forwarded-For who the client is (nginx, most cloud load balancers): the last address there that is not trusted itself. Those without are refused with 400; from everybody else the field is ignored."`
}

func (f *accessFlags) limits() access.AddressLimits {
	burst := f.AddressBurst
	if burst == 0 {
		burst = max(1, int(math.Ceil(5*float64(f.AddressRate))))
	}
	return access.AddressLimits{Connections: f.AddressConnections, RatePerSecond: float64(f.AddressRate), Burst: burst}
}

// access is who gets in. The errors are for the operator.
func (f *accessFlags) access(descriptorsMax int, private bool) (a admission.Access, err error) {
	if a.Origins, err = access.ParseOrigins(f.Origin); err != nil {
		return a, fmt.Errorf("--origin: %w", err)
	}
	if a.Trusted, err = access.ParseNetworks(f.Trusted); err != nil {
		return a, fmt.Errorf("--trusted: %w", err)
	}
	a.ProxyProtocol, a.ForwardedFor = f.ProxyProtocol, f.ForwardedFor
	a.Addresses = access.NewAddresses(f.limits())
	a.DescriptorsMax, a.PrivateFDTables = descriptorsMax, private
	return a, nil
}

func (f *accessFlags) validate() error {
	const connectionsMax, burstMax = math.MaxInt32, 1_000_000
	if (f.ProxyProtocol || f.ForwardedFor) && len(f.Trusted) == 0 {
		return errors.New("--proxy-protocol and --forwarded-for need --trusted: say from which networks your proxies connect, like --trusted 10.0.0.0/8")
	}
	if f.AddressBurst > 0 && f.AddressRate == 0 {
		return errors.New("--address-burst has no meaning without --address-rate")
	}
	_, err := f.access(0, false)
	return cmp.Or(err,
		between("--address-connections", f.AddressConnections, 0, connectionsMax),
		between("--address-burst (without, five seconds of --address-rate)", f.limits().Burst, 0, burstMax))
}

// addressRate is a number of events per second, written like 10/s, 100/m or
// 1000/h; one per hour at least, or 0.
type addressRate float64

func (r *addressRate) UnmarshalText(text []byte) error {
	number, unit, _ := strings.Cut(string(text), "/")
	seconds, ok := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	n, err := strconv.ParseFloat(number, 64)
	if string(text) == "0" {
		ok = true
		seconds = 1
	}
	if !ok || err != nil || !(n >= 1 && n <= 1e6 || n == 0) {
		return fmt.Errorf("%q is no rate; write it like 10/s, 100/m or 1000/h", text)
	}
	*r = addressRate(n / seconds)
	return nil
}

// closing are the flags without which a door is open.
var closing = []string{"token-key", "token-jwks", "token-audience", "origin", "bus-password", "bus-password-file", "admin-password", "admin-password-file"}

// refuseEmpty returns an error for the operator if a flag that closes a door is
// there and empty, as it is if somebody writes --token-key "$KEY" and KEY is not
// set: it would be as if the flag had not been given, and everybody got in.
func refuseEmpty(flags []*kong.Flag) error {
	for _, flag := range flags {
		if !slices.Contains(closing, flag.Name) || flag.Target.Len() > 0 {
			continue
		}
		for _, name := range flag.Tag.Envs {
			if value, isThere := os.LookupEnv(name); isThere && value == "" {
				return fmt.Errorf("%s is set and empty: give it a value, or unset it if everybody may come in", name)
			}
		}
		if flag.Set {
			return fmt.Errorf("--%s is empty: give it a value, or leave it out if everybody may come in", flag.Name)
		}
	}
	return nil
}
