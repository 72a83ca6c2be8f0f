//! Counters of our devices.

use std::collections::BTreeMap;

use super::BatchSocket;
use super::wire::{Attribute, DUMP, Malformed, fixed};
use crate::counters::{DeviceTraffic, Traffic};
use crate::device::{Device, LINK_ALIAS};
use crate::kernel::KernelError;

/// `IFLA_STATS64`, `linux/if_link.h`.
const STATS64: u16 = 23;

/// Reads those of all our devices.
pub(crate) fn read(socket: &mut BatchSocket) -> Result<BTreeMap<Device, DeviceTraffic>, KernelError> {
    socket.query(
        "reading link statistics",
        (libc::RTM_GETLINK, DUMP),
        |body| {
            body.fixed(&[0; 16]);
            body.nested(libc::IFLA_LINKINFO, |info| info.attribute(libc::IFLA_INFO_KIND, b"vxlan\0"));
        },
        |all: &mut BTreeMap<Device, DeviceTraffic>, message| {
            all.extend(parse(message.payload)?);
            Ok(())
        },
    )
}

/// Reads `RTM_NEWLINK`, if it is of a device of ours.
fn parse(payload: &[u8]) -> Result<Option<(Device, DeviceTraffic)>, Malformed> {
    let (_, attributes) = fixed::<16>(payload)?;
    let (mut device, mut is_ours, mut traffic) = (None, false, DeviceTraffic::default());
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            libc::IFLA_IFNAME => device = Device::from_name(attribute.text()),
            libc::IFLA_IFALIAS => is_ours = attribute.text() == LINK_ALIAS,
            STATS64 => traffic = counters(&attribute)?,
            _ => {}
        }
    }
    Ok(device.filter(|_| is_ours).map(|device| (device, traffic)))
}

/// Reads the head of `struct rtnl_link_stats64`.
fn counters(attribute: &Attribute<'_>) -> Result<DeviceTraffic, Malformed> {
    let malformed = || Malformed::Length { kind: attribute.kind, length: attribute.value.len() };
    let (numbers, _) = attribute.value.as_chunks::<8>();
    let [rx, tx, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped, ..] = numbers else {
        return Err(malformed());
    };
    let traffic = |packets: &[u8; 8], bytes: &[u8; 8], errors: &[u8; 8], dropped: &[u8; 8]| Traffic {
        packets: u64::from_ne_bytes(*packets),
        bytes: u64::from_ne_bytes(*bytes),
        errors: u64::from_ne_bytes(*errors),
        dropped: u64::from_ne_bytes(*dropped),
    };
    Ok(DeviceTraffic {
        received: traffic(rx, rx_bytes, rx_errors, rx_dropped),
        sent: traffic(tx, tx_bytes, tx_errors, tx_dropped),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::wire::Body;

    #[test]
    fn counters_are_read_of_devices_with_our_mark_and_short_ones_are_refused() {
        let message = |name: &[u8], alias: &[u8], stats: &[u8]| {
            let mut bytes = vec![0; 16];
            let mut body = Body(&mut bytes);
            body.attribute(libc::IFLA_IFNAME, name);
            body.attribute(libc::IFLA_IFALIAS, alias);
            body.attribute(STATS64, stats);
            bytes
        };
        let stats: Vec<u8> = (1..=24u64).flat_map(u64::to_ne_bytes).collect();
        let (device, traffic) = parse(&message(b"vx-local\0", b"causeway\0", &stats)).unwrap().unwrap();
        assert_eq!(device.name(), "vx-local");
        assert_eq!(traffic.received, Traffic { packets: 1, bytes: 3, errors: 5, dropped: 7 });
        assert_eq!(traffic.sent, Traffic { packets: 2, bytes: 4, errors: 6, dropped: 8 });
        assert_eq!(parse(&message(b"vx-local\0", b"other\0", &stats)).unwrap(), None);
        assert_eq!(parse(&message(b"flannel.1\0", b"causeway\0", &stats)).unwrap(), None);
        assert!(parse(&message(b"vx-local\0", b"causeway\0", &stats[..60])).is_err());
    }
}
