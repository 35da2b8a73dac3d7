//! What can happen next.

use super::world::{Phase, World};
use mworker::core::lifecycle::{ExecKind, Hardness};
use mworker::core::process::options;
use mworker::core::signal::Signal;
use mworker::core::table::Table;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// The master is sent a signal.
    Signal(Signal),
    /// Its CLI is told to reload.
    Reload(Hardness),
    /// The configuration is good, and the worker is forked.
    Forks,
    /// The configuration is refused, or the fork fails.
    Refuses,
    /// A worker says READY to the core.
    Ready(i32),
    /// A worker says READY to the host's own code, which acts on it.
    ReadyToHost(i32),
    /// A child ends: a zombie now.
    Ends(i32),
    /// waitpid() gives a child, with this status.
    Reaped(i32, i32),
    /// waitpid() gives a process that nobody knows.
    StrangerReaped,
    /// waitpid() says that there is no child.
    NoChildLeft,
    /// Time goes by, until the core wants to be asked.
    Tick,
    /// The worker in service gives a sign of life.
    Beats,
    /// The new image runs.
    ExecSucceeds,
    /// The new image runs, and is of another generation.
    ExecUpgrades,
    /// The exec returns.
    ExecFails,
}

/// Everything that can happen in `world`; `may_upgrade` says which execs may be of another binary.
pub fn moves(world: &World, may_upgrade: impl Fn(ExecKind) -> bool) -> Vec<Move> {
    let mut moves = Vec::new();
    match world.phase {
        Phase::Left(_) => {}
        Phase::Execing(kind) => {
            moves.extend([Move::ExecSucceeds, Move::ExecFails]);
            if may_upgrade(kind) {
                moves.push(Move::ExecUpgrades);
            }
        }
        Phase::Loading => {
            moves.extend([Move::Forks, Move::Refuses]);
            // Those who re-execute to wait are deaf until they do.
            if world.generation.ready_handshake {
                signals(world, &mut moves);
            }
            ends(world, &mut moves);
        }
        Phase::Running => {
            signals(world, &mut moves);
            ends(world, &mut moves);
            readies(world, &mut moves);
            reaps(world, &mut moves);
            if world.life.deadline().is_some() {
                moves.push(Move::Tick);
            }
            if world.may_beat() {
                moves.push(Move::Beats);
            }
        }
    }
    moves
}

fn signals(world: &World, moves: &mut Vec<Move>) {
    let reloads = |s: &Signal| matches!(s, Signal::Usr2 | Signal::Hup);
    let sent = Signal::ALL.into_iter().filter(|s| *s != Signal::Chld);
    moves.extend(sent.filter(|s| world.has_room() || !reloads(s)).map(Move::Signal));
    if world.has_room() {
        moves.extend([Move::Reload(Hardness::Soft), Move::Reload(Hardness::Hard)]);
    }
}

/// Any child may end at any time, whatever it was told.
fn ends(world: &World, moves: &mut Vec<Move>) {
    moves.extend(world.children.iter().filter(|c| c.alive).map(|c| Move::Ends(c.pid)));
}

fn readies(world: &World, moves: &mut Vec<Move>) {
    if !world.generation.ready_handshake {
        return;
    }
    let starting = world.table.starting().map(|row| world.table.load(row).pid);
    if let Some(pid) = starting.filter(|pid| *pid > 0) {
        moves.push(Move::Ready(pid));
        if !world.generation.native && !world.ledger.stop_asked {
            moves.push(Move::ReadyToHost(pid));
        }
    }
    // Once more, which means nothing.
    moves.extend(world.ledger.in_service.map(Move::Ready));
}

fn reaps(world: &World, moves: &mut Vec<Move>) {
    for zombie in world.children.iter().filter(|c| !c.alive) {
        let leaving = world.row_of(zombie.pid).is_some_and(|(_, p)| p.is(options::LEAVING));
        let codes: &[i32] = if leaving { &[0, 139] } else { &[0, 1, 130, 139, 143] };
        moves.extend(codes.iter().map(|code| Move::Reaped(zombie.pid, *code)));
    }
    moves.push(Move::StrangerReaped);
    if world.children.is_empty() {
        moves.push(Move::NoChildLeft);
    }
}
