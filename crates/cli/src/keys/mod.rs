//! `agent-mesh keys`: encryption and signatures by name, in a directory of keys.

mod files;
mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use crypto::security::Security;
use crypto::{Argon2Cost, Passphrase, SecurityLevel, set_key_passphrase};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::input::read_text;
use crate::output::{Output, note, print, print_json, write_new};

/// Where the keys are, for every verb.
#[derive(Args)]
pub(crate) struct Command {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Args)]
struct Place {
    /// The directory of the keys.
    #[arg(long, global = true, value_name = "DIR", env = "AGENT_MESH_KEYS", default_value = "./keys")]
    keys: PathBuf,
    /// Security level of new keys: 512, 768, 1024 or 2048.
    #[arg(long, global = true, value_name = "DIMENSION", default_value_t = 768)]
    level: u32,
    /// File (mode 0600) whose first line is the passphrase under which key files are sealed.
    #[arg(long, global = true, value_name = "FILE", env = "AGENT_MESH_PASSPHRASE_FILE")]
    passphrase_file: Option<PathBuf>,
}

/// What to do with keys.
#[derive(Subcommand)]
enum Verb {
    /// Make a key pair for encryption and signatures.
    Generate {
        /// Its name.
        name: String,
    },
    /// Make a hash-based key pair that signs one message and is erased by it.
    OneTime {
        /// Its name.
        name: String,
    },
    /// Remember someone's public keys, as `keys export` prints them.
    Import {
        /// The file; `-` reads standard input.
        file: PathBuf,
        /// Keep them under this name instead of the owner's.
        #[arg(long = "as", value_name = "NAME")]
        rename: Option<String>,
        /// Replace keys that are known under the name, though those have not signed for the new ones. Compare fingerprints first.
        #[arg(long)]
        replace: bool,
    },
    /// List the keys.
    List,
    /// Show one name's keys.
    Show {
        /// The name.
        name: String,
    },
    /// Encrypt a file of any size to someone.
    Encrypt {
        /// Whose keys to encrypt to.
        #[arg(long, value_name = "NAME")]
        to: String,
        /// Associated data: authenticated, not stored; decrypting needs the same.
        #[arg(long, value_name = "TEXT", default_value = "")]
        aad: String,
        /// The file; `-` reads standard input.
        input: PathBuf,
        /// Where the container goes, a new file; `-` is standard output.
        #[arg(long, short, value_name = "FILE", default_value = "-")]
        out: PathBuf,
    },
    /// Decrypt a container with whichever own key it is encrypted to.
    Decrypt {
        /// The associated data of the encryption.
        #[arg(long, value_name = "TEXT", default_value = "")]
        aad: String,
        /// The container; `-` reads standard input.
        input: PathBuf,
        /// Where the content goes, a new file that only appears when everything is genuine. With `-` (standard output) believe what was
        /// printed only when the exit code is 0.
        #[arg(long, short, value_name = "FILE", default_value = "-")]
        out: PathBuf,
    },
    /// Sign a file of any size.
    Sign {
        /// The own key that signs.
        #[arg(long, value_name = "NAME")]
        key: String,
        /// The file; `-` reads standard input.
        input: PathBuf,
        /// Where the signature goes, a new file; `-` is standard output.
        #[arg(long, short, value_name = "FILE", default_value = "-")]
        out: PathBuf,
    },
    /// Check a signature; exit code 1 when it is not genuine.
    Verify {
        /// Whose signature it should be.
        #[arg(long, value_name = "NAME")]
        by: String,
        /// The signature.
        #[arg(long, value_name = "FILE")]
        signature: PathBuf,
        /// The signed file; `-` reads standard input.
        input: PathBuf,
    },
    /// Replace an own pair by a new one that the old one signs for.
    Rotate {
        /// Its name.
        name: String,
        /// Do not keep the old pair: what was encrypted to it can then not be decrypted any more.
        #[arg(long)]
        erase_old: bool,
    },
    /// Print public keys for others to import.
    Export {
        /// Whose.
        name: String,
        /// A new file; `-` is standard output.
        #[arg(long, short, value_name = "FILE", default_value = "-")]
        out: PathBuf,
    },
    /// Write all pairs and public keys into one file, sealed with the passphrase. One-time keys are left out: a copy could sign twice.
    Backup {
        /// A new file; `-` is standard output.
        #[arg(long, short, value_name = "FILE")]
        out: PathBuf,
    },
    /// Bring back what a backup holds; nothing at all if something else is in its place.
    Restore {
        /// The backup; `-` reads standard input.
        file: PathBuf,
    },
}

/// Runs `keys`.
pub(crate) fn run(command: &Command, output: Output) -> Outcome {
    let Place { keys, level, passphrase_file } = &command.place;
    let level = SecurityLevel::from_dimension(*level).map_err(Failure::usage)?;
    let passphrase = passphrase_file.as_deref().map(Passphrase::from_file).transpose()?;
    if let Some(passphrase) = &passphrase {
        set_key_passphrase(passphrase.clone(), Argon2Cost::DEFAULT);
    }
    if !matches!(
        command.verb,
        Verb::Generate { .. } | Verb::OneTime { .. } | Verb::Import { .. } | Verb::Restore { .. }
    ) && !keys.exists()
    {
        let what = format!(
            "there is no key directory {}: name it with --keys, or make a key with `keys generate`",
            keys.display()
        );
        return Err(Failure::failed(what));
    }
    let keys = Security::open(keys, level)
        .map_err(|error| if level.is_post_quantum() { error.into() } else { Failure::usage(error) })?;
    match &command.verb {
        Verb::Generate { name } => {
            made(&keys, name, &keys.generate_quantum_keypair(name)?.fingerprint(), passphrase.is_some(), output)
        }
        Verb::OneTime { name } => {
            made(&keys, name, &keys.generate_one_time_keypair(name)?.fingerprint(), passphrase.is_some(), output)
        }
        Verb::Import { file, rename, replace } => {
            let imported = keys.import(&read_text(file)?, rename.as_deref(), *replace)?;
            show::entry(&keys.show(imported.local_name())?, output)
        }
        Verb::List => show::list(&keys.list()?, output),
        Verb::Show { name } => show::entry(&keys.show(name)?, output),
        Verb::Encrypt { to, aad, input, out } => {
            let len = files::through(input, out, |source, target| {
                Ok(keys.encrypt_stream(to, aad.as_bytes(), source, target)?)
            })?;
            told(out, output, &json!({"encrypted_bytes": len, "to": to}), &format!("{len} bytes encrypted to {to}"))
        }
        Verb::Decrypt { aad, input, out } => {
            let (name, len) = files::through(input, out, |source, target| {
                Ok(keys.decrypt_stream(aad.as_bytes(), source, target)?)
            })?;
            told(
                out,
                output,
                &json!({"decrypted_bytes": len, "key": name}),
                &format!("{len} bytes decrypted with {name}"),
            )
        }
        Verb::Sign { key, input, out } => {
            let signature = files::through(input, out, |source, target| {
                let signature = keys.sign_stream(source, key)?;
                target.write_all(&signature)?;
                Ok(signature)
            })?;
            told(out, output, &json!({"signature_bytes": signature.len(), "key": key}), &format!("signed by {key}"))
        }
        Verb::Verify { by, signature, input } => verify(&keys, by, signature, input, output),
        Verb::Rotate { name, erase_old } => {
            keys.rotate(name, *erase_old)?;
            show::entry(&keys.show(name)?, output)
        }
        Verb::Export { name, out } => write_new(out, &keys.export(name)?),
        Verb::Backup { out } => backup(&keys, passphrase.as_ref(), out, output),
        Verb::Restore { file } => restore(&keys, passphrase.as_ref(), file, output),
    }
}

fn made(keys: &Security, name: &str, fingerprint: &str, sealed: bool, output: Output) -> Outcome {
    if !sealed {
        note(format!(
            "the secret of {name} is protected by file permissions only; --passphrase-file seals it with a passphrase"
        ));
    }
    if output.json {
        return print_json(&keys.show(name)?);
    }
    print(format!("{name}  fingerprint {fingerprint}\nGive others the output of: agent-mesh keys export {name}"))
}

fn verify(keys: &Security, by: &str, signature: &Path, input: &Path, output: Output) -> Outcome {
    if signature == Path::new("-") {
        return Err(Failure::usage("the signature is a file: `-` is for the signed data"));
    }
    let signature = files::read_bounded(signature)?;
    let mut source = files::source(input)?;
    match keys.verify_stream(&mut source, &signature, by) {
        Ok(()) if output.json => print_json(&json!({"valid": true, "by": by})),
        Ok(()) => print(format!("VALID: signed by {by}")),
        Err(error) => {
            if output.json {
                print_json(&json!({"valid": false, "reason": error.to_string()}))?;
            }
            Err(Failure::failed(format!("INVALID: {error}")))
        }
    }
}

fn backup(keys: &Security, passphrase: Option<&Passphrase>, out: &Path, output: Output) -> Outcome {
    let passphrase = passphrase.ok_or_else(|| Failure::usage("a backup is always sealed: give --passphrase-file"))?;
    let (text, report) = keys.backup(passphrase, Argon2Cost::DEFAULT)?;
    files::write_private(out, text.as_bytes())?;
    for name in &report.left_out {
        note(format!("left out: {name} (a copy of a one-time key could sign twice)"));
    }
    told(out, output, &json!(report), &format!("{} files backed up", report.files.len()))
}

fn restore(keys: &Security, passphrase: Option<&Passphrase>, file: &Path, output: Output) -> Outcome {
    let passphrase = passphrase.ok_or_else(|| Failure::usage("a backup is sealed: give its --passphrase-file"))?;
    let report = keys.restore(&read_text(file)?, passphrase)?;
    if output.json {
        return print_json(&report);
    }
    print(format!("{} files restored, {} were there already", report.restored.len(), report.present.len()))
}

/// Says what was done: on standard output, unless that carries the data itself.
fn told(out: &Path, output: Output, json: &serde_json::Value, words: &str) -> Outcome {
    if out == Path::new("-") {
        note(words);
        return Ok(());
    }
    if output.json { print_json(json) } else { print(words) }
}
