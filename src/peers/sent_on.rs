//! The client's address of a request that one node sends on to the owner of an upload. Without a token's
//! subject it is the name of the sender: its uploads are counted under it, and its keys belong to it.

use super::{Peers, Purpose};

/// The character between the address and its pass.
const SEPARATOR: char = ' ';

impl Peers {
    /// States to the owner of an upload for which client this node sends a request with this target on.
    pub fn state_client(&self, owner: u16, address: &str, target: &str) -> String {
        let pass = self
            .seal
            .sign(Purpose::SendOn, owner, &signed(address, target));
        format!("{address}{SEPARATOR}{pass}")
    }

    /// The client's address in the statement of another node about a request with this target; `None` if no
    /// node with the key has made it for this one. It holds for any time, as a body may take long.
    pub fn stated_client<'a>(&self, statement: &'a str, target: &str) -> Option<&'a str> {
        let (address, pass) = statement.split_once(SEPARATOR)?;
        let signed = signed(address, target);
        let is_ours = self
            .seal
            .has_signed(pass, Purpose::SendOn, self.node, &signed);
        is_ours.then_some(address)
    }
}

fn signed(address: &str, target: &str) -> String {
    format!("{address}{SEPARATOR}{target}")
}

#[cfg(test)]
mod tests {
    use super::super::testing::peers;

    #[test]
    fn a_client_is_believed_only_as_a_node_with_the_key_has_stated_it_for_this_request() {
        let (here, stranger) = (peers("a"), peers("b"));
        let target = "/uploads/1?token=x y";
        let stated = here.state_client(here.number(), "2001:db8::1", target);
        assert_eq!(here.stated_client(&stated, target), Some("2001:db8::1"));
        let elsewhere = here.state_client(here.number() + 1, "2001:db8::1", target);
        let other = stated.replace("::1", "::2");
        for (node, statement, target) in [
            (&here, &*stated, "/uploads/2"),
            (&stranger, &stated, target),
            (&here, &elsewhere, target),
            (&here, &other, target),
            (&here, "2001:db8::1 ", target),
            (&here, "1", target),
            (&here, "", target),
        ] {
            assert_eq!(node.stated_client(statement, target), None, "{statement}");
        }
    }
}
