//! ExpressMail, a mail system of small Unix commands.
