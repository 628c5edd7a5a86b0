//! Commands about files of what the store holds.

use super::{Call, Outcome, SYNTAX};

const NO_FILE: &str = "ERR this store was given no file to be saved to";
const UNDER_WAY: &str = "ERR Background save already in progress";

pub(super) fn save(call: &mut Call<'_>) -> Outcome {
    if call.server.saves.files.place.is_none() {
        return Err(NO_FILE);
    }
    if call.server.saves.is_under_way() {
        return Err(UNDER_WAY);
    }
    if !call.server.save() {
        return Err("ERR the file could not be written: the log says why");
    }
    call.reply.simple("OK");
    Ok(())
}

pub(super) fn bgsave(call: &mut Call<'_>) -> Outcome {
    if call.arguments.len() == 2 && !call.arguments.is(1, "SCHEDULE") {
        return Err(SYNTAX);
    }
    if call.server.saves.files.place.is_none() {
        return Err(NO_FILE);
    }
    if call.server.saves.is_under_way() {
        return Err(UNDER_WAY);
    }
    call.server.begin_save();
    call.reply.simple("Background saving started");
    Ok(())
}

pub(super) fn lastsave(call: &mut Call<'_>) -> Outcome {
    call.reply.integer(call.server.saves.last_unix_s as i64);
    Ok(())
}
