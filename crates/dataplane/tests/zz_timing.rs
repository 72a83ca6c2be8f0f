//! tmp
use causeway_dataplane::netlink::LinuxKernel;
use causeway_dataplane::state::*;
use causeway_dataplane::*;
use causeway_model::*;
use std::net::*;
use std::time::Instant;
#[test]
fn timing() {
    std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let n: u32 = 100_000;
        let b = Device { overlay: Overlay::Bridge, underlay: Family::V4 };
        let mut k = LinuxKernel::open(vec![]).unwrap();
        k.apply(&[Step::AddDevice(b, Vxlan { vni: Vni(54), port: UdpPort(4876), local: "10.0.0.1".parse().unwrap(), learning: false, mac: Mac([2,0,0,0,0,1]), mtu: 1450, up: true })]).unwrap();
        let ov = |i: u32| IpAddr::V4(Ipv4Addr::from(0xc612_0000 + i));
        let mk = |f: &dyn Fn(u32) -> Step| (0..n).map(f).collect::<Vec<_>>();
        let fdb = mk(&|i| Step::ReplaceFdb(b, Mac::of_vtep(Ipv4Addr::from(0xc612_0000 + i)), IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + i))));
        let ne = mk(&|i| Step::ReplaceNeighbour(b, ov(i), Mac::of_vtep(Ipv4Addr::from(0xc612_0000 + i))));
        let ro = mk(&|i| { let p = Prefix::containing(IpAddr::V4(Ipv4Addr::from(0x1400_0000 + (i << 8))), 24).unwrap(); Step::ReplaceRoute(p, metric(&p), Route { hop: Hop::Gateway(NextHop { device: b, gateway: ov(i) }), src: None, mtu: None }) });
        let cpu = || { let u = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD).unwrap(); (u.user_time(), u.system_time()) };
        for round in 0..2 {
        for (name, s) in [("fdb", &fdb), ("neigh", &ne), ("route", &ro)] {
            let c = cpu(); let t = Instant::now(); if let Err(e) = k.apply(s) { panic!("{e}"); }
            let d = cpu(); println!("{round} {name} {:?} user {} sys {}", t.elapsed(), d.0 - c.0, d.1 - c.1);
        }
        for _ in 0..3 {
            let c = cpu(); let t = Instant::now(); let o = k.observe().unwrap();
            let d = cpu(); println!("observe {:?} user {} sys {} {}", t.elapsed(), d.0 - c.0, d.1 - c.1, o.routes.len() + o.fdb.len() + o.neighbours.len());
        }
        }
        let del: Vec<Step> = ro.iter().map(|s| match s { Step::ReplaceRoute(p, m, _) => Step::DelRoute(*p, *m), _ => panic!() }).collect();
        let t = Instant::now(); k.apply(&del).unwrap(); println!("del routes {:?}", t.elapsed());
        let t = Instant::now(); k.apply(&[Step::DelDevice(b)]).unwrap(); println!("del device {:?}", t.elapsed());
    }).join().unwrap();
}
