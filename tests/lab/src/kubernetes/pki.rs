//! Keys and certificates of a bed's control planes, with openssl: one authority, a serving certificate for
//! each server, clients that may do everything, and a key for ServiceAccounts of each server.

use std::fmt::Write;
use std::path::Path;

use crate::error::{LabError, Result};
use crate::kubernetes::Server;
use crate::namespace::run_with_input;

/// Writes all of it into `folder`.
pub(super) fn write(folder: &Path, servers: &[Server]) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(LabError::file("create", folder))?;
    let mut script = String::from(
        "set -e\n\
         key() { openssl ecparam -name prime256v1 -genkey -noout -out \"$1\" 2>/dev/null; }\n\
         leaf() { key $1.key; openssl req -new -key $1.key -subj \"$2\" -out $1.csr; printf '%s' \"$3\" >$1.ext\n\
           openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile $1.ext -out $1.crt 2>/dev/null; }\n\
         key ca.key; openssl req -x509 -new -key ca.key -subj /CN=causeway-lab -days 30 -out ca.crt\n\
         leaf admin /O=system:masters/CN=admin extendedKeyUsage=clientAuth\n\
         leaf controllers /CN=system:kube-controller-manager extendedKeyUsage=clientAuth\n\
         leaf kube-proxy /CN=system:kube-proxy extendedKeyUsage=clientAuth\n",
    );
    for server in servers {
        let name = server.name();
        let addresses: Vec<String> =
            server.addresses().iter().map(|address| format!("IP:{address}")).collect();
        // Writing to a String cannot fail.
        let _ =
            writeln!(script, "leaf {name}-server /CN=kube-apiserver subjectAltName={}", addresses.join(","));
        let _ = writeln!(
            script,
            "key {name}-sa.key; openssl ec -in {name}-sa.key -pubout -out {name}-sa.pub 2>/dev/null"
        );
    }
    let at = folder.display().to_string();
    run_with_input(&["sh", "-c", "cd \"$0\" && exec sh -s", &at], &script).map(drop)
}
