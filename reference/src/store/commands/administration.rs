//! Commands about the store as a whole.

use super::{Call, Outcome, SYNTAX, table};
use crate::resp::integer;
use crate::store::glob;
use crate::store::settings::NAMES;

pub(super) fn command(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    if arguments.is(1, "COUNT") {
        call.reply.integer(table::all().count() as i64);
    } else if arguments.is(1, "DOCS") {
        call.reply.map(0);
    } else if arguments.len() == 1 || arguments.is(1, "INFO") {
        let is_wanted = |name: &str| {
            arguments.len() <= 2 || arguments.from(2).any(|w| w.eq_ignore_ascii_case(name.as_bytes()))
        };
        let wanted: Vec<_> = table::all().filter(|command| is_wanted(command.name)).collect();
        call.reply.array(wanted.len());
        for command in wanted {
            call.reply.array(6);
            call.reply.bulk(command.name.as_bytes());
            call.reply.integer(command.arity());
            call.reply.array(0);
            (0..3).for_each(|_| call.reply.integer(0));
        }
    } else {
        return Err(SYNTAX);
    }
    Ok(())
}

pub(super) fn config(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    if arguments.is(1, "GET") && arguments.len() > 2 {
        let is_wanted =
            |name: &str| arguments.from(2).any(|p| glob::matches(&p.to_ascii_lowercase(), name.as_bytes()));
        let found: Vec<&str> = NAMES.into_iter().filter(|name| is_wanted(name)).collect();
        call.reply.map(found.len());
        for name in found {
            call.reply.bulk(name.as_bytes());
            call.reply.bulk(call.server.setting(name).as_bytes());
        }
    } else if arguments.is(1, "SET") && arguments.len() >= 4 && arguments.len().is_multiple_of(2) {
        let changes: Vec<_> = arguments.pairs(2).collect();
        if call.server.change_settings(&changes).is_err() {
            return Err("ERR CONFIG SET failed - unknown option or invalid argument");
        }
        call.server.data.make_room();
        call.reply.simple("OK");
    } else if arguments.is(1, "RESETSTAT") {
        call.server.data.reset_counts();
        call.server.totals = Default::default();
        call.reply.simple("OK");
    } else if arguments.is(1, "REWRITE") {
        return Err("ERR The server is running without a config file");
    } else {
        return Err("ERR unknown subcommand or wrong number of arguments for 'CONFIG'");
    }
    Ok(())
}

pub(super) fn slowlog(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    if arguments.is(1, "RESET") {
        call.server.slow.clear();
        call.reply.simple("OK");
    } else if arguments.is(1, "LEN") {
        call.reply.integer(call.server.slow.len() as i64);
    } else if arguments.is(1, "GET") {
        let count = if arguments.len() == 3 { integer(arguments.get(2)).ok_or(SYNTAX)? } else { 10 };
        let all = call.server.slow.len();
        let count = usize::try_from(count).map_or(all, |count| count.min(all));
        call.reply.array(count);
        for slow in call.server.slow.iter().take(count) {
            call.reply.array(6);
            call.reply.integer(slow.id as i64);
            call.reply.integer(slow.unix_s as i64);
            call.reply.integer(slow.micros as i64);
            call.reply.array(slow.arguments.len());
            slow.arguments.iter().for_each(|argument| call.reply.bulk(argument));
            call.reply.bulk(slow.client.as_bytes());
            call.reply.bulk(slow.client_name.as_bytes());
        }
    } else {
        return Err(SYNTAX);
    }
    Ok(())
}

pub(super) fn memory(call: &mut Call<'_>) -> Outcome {
    if !call.arguments.is(1, "USAGE") {
        return Err(SYNTAX);
    }
    let data = &mut call.server.data;
    match data.find(call.arguments.get(2)) {
        Some(slot) => call.reply.integer(data.bytes(slot) as i64),
        None => call.reply.null(),
    }
    Ok(())
}

pub(super) fn time(call: &mut Call<'_>) -> Outcome {
    let ms = call.server.data.clock.unix_ms();
    call.reply.array(2);
    call.reply.bulk((ms / 1000).to_string().as_bytes());
    call.reply.bulk((ms % 1000 * 1000).to_string().as_bytes());
    Ok(())
}
