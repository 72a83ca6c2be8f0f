//! Which packets the kernel hands over to ears: classic BPF programs (`Documentation/networking/filter.rst`), run from the
//! IP header on.

use libc::sock_filter;

/// `IPPROTO_TCP`.
const TCP: u32 = 6;
/// `IPPROTO_UDP`.
const UDP: u32 = 17;
/// Bytes of a packet that are handed over: the headers of IP and of what it carries.
pub const SNAP: u32 = 64;

/// An instruction that goes on with the next one.
fn op(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

fn load_byte(at: u32) -> sock_filter {
    op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, at)
}

fn and(k: u32) -> sock_filter {
    op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, k)
}

fn equal(k: u32, jt: u8, jf: u8) -> sock_filter {
    jump(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k, jt, jf)
}

/// Instructions up to a value of the header behind IP in the accumulator: `in_v4` loads it with the length of the IPv4
/// header in X, `in_v6` behind an IPv6 header alone. Four more follow; of the last one comes what is not of `protocol`,
/// or a later fragment.
fn header_of(protocol: u32, in_v4: sock_filter, in_v6: sock_filter) -> [sock_filter; 14] {
    [
        /* 0 */ load_byte(0),
        /* 1 */ and(0xf0),
        /* 2 */ equal(0x40, 0, 7),
        // IPv4: no later fragment, a header of any length.
        /* 3 */
        load_byte(9),
        /* 4 */ equal(protocol, 0, 12),
        /* 5 */ op(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 6),
        /* 6 */ jump(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0x1fff, 10, 0),
        /* 7 */ op(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0),
        /* 8 */ in_v4,
        /* 9 */ jump(libc::BPF_JMP | libc::BPF_JA, 4, 0, 0),
        // IPv6: right behind the header.
        /* 10 */ equal(0x60, 0, 6),
        /* 11 */ load_byte(6),
        /* 12 */ equal(protocol, 0, 4),
        /* 13 */ in_v6,
    ]
}

fn program(head: [sock_filter; 14], test: [sock_filter; 2]) -> Vec<sock_filter> {
    let verdicts = [SNAP, 0].map(|length| op(libc::BPF_RET | libc::BPF_K, length));
    head.into_iter().chain(test).chain(verdicts).collect()
}

/// UDP packets to two ports: the first fragment of each.
pub fn tunnel_packets(ports: [u16; 2]) -> Vec<sock_filter> {
    let [one, other] = ports.map(u32::from);
    let port = op(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, 2);
    let head = header_of(UDP, port, op(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 42));
    program(head, [equal(one, 1, 0), equal(other, 0, 1)])
}

/// TCP packets that ask for a connection: SYN without ACK.
pub fn connection_requests() -> Vec<sock_filter> {
    let flags = op(libc::BPF_LD | libc::BPF_B | libc::BPF_IND, 13);
    program(header_of(TCP, flags, load_byte(53)), [and(0x12), equal(0x02, 0, 1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program on a packet, as the kernel does: the bytes it passes.
    fn run(program: &[sock_filter], packet: &[u8]) -> u32 {
        let byte = |at: u32| packet.get(at as usize).copied().map(u32::from);
        let half = |at: u32| Some(byte(at)? << 8 | byte(at + 1)?);
        let (mut a, mut x, mut at) = (0u32, 0u32, 0usize);
        loop {
            let one = program[at];
            at += 1;
            let load = match u32::from(one.code) {
                0x30 => byte(one.k),
                0x28 => half(one.k),
                0x48 => half(x + one.k),
                0x50 => byte(x + one.k),
                0x54 => Some(a & one.k),
                0xb1 => {
                    let Some(first) = byte(one.k) else { return 0 };
                    x = (first & 15) * 4;
                    Some(a)
                }
                0x15 | 0x45 => {
                    let holds = if one.code == 0x15 { a == one.k } else { a & one.k != 0 };
                    at += usize::from(if holds { one.jt } else { one.jf });
                    Some(a)
                }
                0x05 => {
                    at += one.k as usize;
                    Some(a)
                }
                0x06 => return one.k,
                other => panic!("{other:#x}"),
            };
            let Some(value) = load else { return 0 };
            a = value;
        }
    }

    fn v4(protocol: u8, fragment: u16, options: usize, port: u16) -> Vec<u8> {
        let mut packet = vec![0x45 + options as u8, 0, 0, 0, 0, 0];
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        packet.extend(vec![0; options * 4]);
        packet.extend([0, 1]);
        packet.extend(port.to_be_bytes());
        packet
    }

    #[test]
    fn the_filter_passes_udp_to_the_tunnels_ports_and_nothing_else() {
        let program = tunnel_packets([4876, 4877]);
        for (packet, passes) in [
            (v4(17, 0, 0, 4876), true),
            (v4(17, 0, 3, 4877), true),
            (v4(17, 0x2000, 0, 4876), true),
            (v4(17, 0x0010, 0, 4876), false),
            (v4(17, 0, 0, 53), false),
            (v4(6, 0, 0, 4876), false),
        ] {
            assert_eq!(run(&program, &packet) > 0, passes, "{packet:?}");
        }
        let mut v6 = vec![0x60, 0, 0, 0, 0, 0, 17, 64];
        v6.extend([0xfd; 32]);
        v6.extend([0, 1, 0x13, 0x0c]);
        assert!(run(&program, &v6) > 0);
        v6[6] = 6;
        assert_eq!(run(&program, &v6), 0);
        assert_eq!(run(&program, &[0; 60]), 0);
    }

    #[test]
    fn of_tcp_only_requests_for_a_connection_pass() {
        let program = connection_requests();
        let v4 = |options: usize, flags: u8| {
            let mut packet = v4(6, 0, options, 443);
            packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0, 0]);
            packet
        };
        for (packet, passes) in [
            (v4(0, 0x02), true),
            (v4(10, 0xc2), true),
            (v4(0, 0x12), false),
            (v4(0, 0x10), false),
            (self::v4(17, 0, 0, 443), false),
        ] {
            assert_eq!(run(&program, &packet) > 0, passes, "{packet:?}");
        }
        let mut v6 = vec![0x60, 0, 0, 0, 0, 0, 6, 64];
        v6.extend([0xfd; 32]);
        v6.extend([0, 1, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0, 0]);
        assert!(run(&program, &v6) > 0);
        v6[53] = 0x18;
        assert_eq!(run(&program, &v6), 0);
    }
}
