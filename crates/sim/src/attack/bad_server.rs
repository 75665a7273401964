//! Bad servers: claims of blocks that are never served, and one block where many are asked for.

use consensus::message::{FinalChain, Held, Message};
use consensus::replica::Recipient;
use consensus::types::Height;

use super::{Attack, Ctx};

/// How far above the truth the claim is.
const CLAIM: u64 = 1 << 40;

/// Claims to hold every block there will ever be, and never serves any.
pub(crate) struct Unserving;

impl Attack for Unserving {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        match message {
            Message::FinalChain(_) => {}
            Message::Held(held) => {
                let lie = Held { first: Height::new(1), last: Height::new(held.last.get() + CLAIM) };
                ctx.send(to, Message::Held(lie));
            }
            message => ctx.send(to, message),
        }
    }
}

/// Serves one block at a time.
pub(crate) struct Dripping;

impl Attack for Dripping {
    fn outgoing(&mut self, ctx: &mut Ctx<'_>, to: Recipient, message: Message) {
        match message {
            Message::FinalChain(chain) => ctx.send(to, Message::FinalChain(drip(&chain))),
            message => ctx.send(to, message),
        }
    }
}

/// The first block alone, with the headers of the others as the way to the proof.
fn drip(chain: &FinalChain) -> FinalChain {
    let blocks = chain.blocks.iter().take(1).cloned().collect();
    let rest = chain.blocks.iter().skip(1).map(|(header, _)| header.header().clone());
    let descendants = rest.chain(chain.descendants.iter().cloned()).collect();
    FinalChain { blocks, descendants, certificate: chain.certificate.clone() }
}
