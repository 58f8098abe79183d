//! LOGIN, AUTHENTICATE, ENABLE, ID, LANGUAGE: what the machine does by itself.

use super::super::ask::Refusal;
use super::super::commands::{Own, Parse};
use super::super::extension::{Enabled, Extension};
use super::super::scan::{Parsed, Scan};

/// Most fields of ID, and longest field and value (RFC 2971 §3.3).
const ID_FIELDS: usize = 30;
const ID_FIELD: usize = 30;
const ID_VALUE: usize = 1024;

/// `login` (RFC 9051 §6.2.3).
pub fn login(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    let user = scan.text()?;
    scan.sp()?;
    let password = scan.text()?;
    Ok(Parse::Own(Own::Login { user, password }))
}

/// `authenticate` with its initial response (RFC 9051 §6.2.2, RFC 4959).
pub fn authenticate(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    let mechanism = scan.atom()?;
    let mut initial = None;
    if !scan.is_end() {
        if !scan.offers("SASL-IR") {
            return Err(Refusal::bad("an initial response is not offered"));
        }
        scan.sp()?;
        let text = scan.run(|b| b.is_ascii_graphic());
        initial = Some(String::from_utf8_lossy(text).into_owned());
    }
    Ok(Parse::Own(Own::Authenticate { mechanism, initial }))
}

/// `compress` (RFC 4978 §5).
pub fn compress(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    Ok(Parse::Own(Own::Compress(scan.atom()?)))
}

/// `enable` (RFC 9051 §6.3.1): what is unknown is passed over.
pub fn enable(scan: &mut Scan) -> Parsed<Parse> {
    let names = scan.rest(Scan::atom)?;
    let known = names.iter().filter_map(|name| Extension::parse(name)).filter(|e| scan.offers(e.name()));
    Ok(Parse::Own(Own::Enable(known.fold(Enabled::default(), Enabled::with))))
}

/// `id` (RFC 2971 §3.1).
pub fn id(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    if scan.peek() != Some(b'(') {
        return match scan.nstring()? {
            None => Ok(Parse::Own(Own::Id(Vec::new()))),
            Some(_) => Err(Refusal::bad("expected a list or NIL")),
        };
    }
    let fields = scan.list0(|scan| {
        let field = super::super::scan::utf8(scan.string()?)?;
        scan.sp()?;
        let is_atom = scan.config.tolerates_spaces && scan.peek().is_some_and(|b| b.is_ascii_digit());
        let value = match is_atom {
            true => Some(scan.text()?),
            false => scan.nstring()?.map(super::super::scan::utf8).transpose()?,
        };
        match field.len() <= ID_FIELD && value.as_ref().is_none_or(|value| value.len() <= ID_VALUE) {
            true => Ok((field, value)),
            false => Err(Refusal::bad("a field of ID is too long")),
        }
    })?;
    match fields.len() <= ID_FIELDS {
        true => Ok(Parse::Own(Own::Id(fields))),
        false => Err(Refusal::bad("too many fields")),
    }
}

/// `language-cmd` (RFC 5255 §3.5).
pub fn language(scan: &mut Scan) -> Parsed<Parse> {
    let ranges = if scan.is_end() { Vec::new() } else { scan.rest(Scan::text)? };
    Ok(Parse::Own(Own::Language(ranges)))
}
