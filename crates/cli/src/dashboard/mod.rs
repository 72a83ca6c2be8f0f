//! `causeway dashboard`: the clusterset on a web page of this machine, live, with what is wrong first. Reads only.

mod history;
mod request;
mod server;
mod state;
mod view;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;

use crate::error::Error;
use crate::source::SourceArgs;
use crate::status::Feed;
use state::State;
pub use view::Dashboard;

/// Show the clusterset on a web page of this machine, live, until interrupted
///
/// Prints the page's address. The page shows what `status` shows, what is wrong first, as a map and as a matrix of
/// round-trip times, each link and node closely, and how links were in the last hour, as far as this program ran. It
/// is served on loopback only, to everybody on this machine; nothing can be changed there, and it loads nothing from
/// anywhere else. What it shows is at /dashboard.json too.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  causeway dashboard --context hub                        on a port that is free
  causeway dashboard --context hub --port 8480            on one that stays the same
  causeway dashboard --objects hub/                       of objects in files
  ssh -L 8480:localhost:8480 HOST causeway dashboard --port 8480   of another machine, over SSH
  curl -s http://127.0.0.1:8480/dashboard.json | jq .status.summary")]
pub struct DashboardArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Loopback address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "IP", value_parser = loopback)]
    pub address: IpAddr,
    /// Port to listen on; 0 for any that is free
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub port: u16,
    /// Look at every ClusterNode, however many there are
    #[arg(long)]
    pub all_nodes: bool,
}

fn loopback(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| "not an IP address".to_owned())?;
    if address == IpAddr::V4(Ipv4Addr::LOCALHOST) || address == IpAddr::V6(std::net::Ipv6Addr::LOCALHOST) {
        return Ok(address);
    }
    Err("the page is for this machine only: 127.0.0.1 or ::1; from elsewhere, forward the port over SSH"
        .to_owned())
}

/// Serves the page until somebody interrupts.
///
/// # Errors
/// If the source cannot be read at first, or the address is taken.
pub async fn run(args: &DashboardArgs) -> Result<(), Error> {
    let mut feed = Feed::open(args.source.source().await?, args.all_nodes).await?;
    let state = Arc::new(State::new(feed.hub(), feed.next().await));
    let wanted = SocketAddr::new(args.address, args.port);
    let taken = |error| Error::Listen { address: wanted, error };
    let listener = TcpListener::bind(wanted).await.map_err(taken)?;
    let address = listener.local_addr().map_err(taken)?;
    crate::print(format!("http://{address}/\n").as_bytes())?;
    // It is for people; nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "the page is up until you press Ctrl-C");
    let follow = async {
        loop {
            state.take(feed.next().await);
        }
    };
    tokio::select! {
        served = server::serve(listener, state.clone()) => served.map_err(taken),
        () = follow => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Error::Runtime),
    }
}

#[cfg(test)]
mod tests;
