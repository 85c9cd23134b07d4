//! Where fuel is charged, and how much: decided here, written by [`emit`](super::emit).
//!
//! Fuel is a number that only the charges written here can reach. A charge stands where work that has no bound must come by: at the entry of a
//! function and at the head of a loop. It takes the weight of the straight-line code that follows; long straight-line code behind a branch
//! has a charge of its own, short code behind a branch is on average in the charge before it. So fuel is an exact function of what has been
//! executed, and between two charges there is little that can be.
//!
//! Functions that only ever do a little (no loops, calls of such functions only) have no charge: whoever calls them pays for them.

use std::collections::HashMap;

use wasmparser::Operator;

use super::graph::Graph;
use super::reach::Reached;
use super::{Result, at};

/// A function that weighs more, charges by itself.
const MOST_SMALL: u32 = 64;
/// Straight-line code behind a branch that weighs more has a charge of its own.
const LONG: u32 = 24;
/// At most so much of the short code behind branches is in the charge before it: of many alternatives only one is executed.
const MOST_CARRIED: u32 = 24;
/// Small functions call small functions, so many levels deep.
const LEVELS: usize = 6;
/// Bytes that a bulk instruction moves for one unit: one less the number of bits.
pub(super) const BULK_SHIFT: i64 = 3;
/// A memory that grows makes the host work.
const GROWTH: u32 = 10_000;

/// What a charge does when it has taken its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing: the next one will.
    Nothing,
    /// End where fuel is below zero.
    Fuel,
    /// The same, and let the host look at its clock from time to time.
    Clock,
}

/// Taken before the operator at this place of a function.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Charge {
    pub before: usize,
    pub weight: u32,
    pub check: Check,
}

/// Weights of the small functions.
pub(super) struct Small(HashMap<u32, u32>);

impl Small {
    /// Find them among what is reached.
    pub fn of(graph: &Graph<'_>, reached: &Reached) -> Result<Self> {
        let mut candidates = Vec::new();
        for &number in &reached.functions {
            if let Some(callees) = callees(graph, number)? {
                candidates.push((number, callees));
            }
        }
        let mut small = Self(HashMap::new());
        for _ in 0..LEVELS {
            let mut found = Vec::new();
            candidates.retain(|(number, (own, callees))| {
                let weight = callees.iter().try_fold(*own, |sum, callee| sum.checked_add(*small.0.get(callee)?));
                let Some(weight) = weight else { return true };
                if weight <= MOST_SMALL {
                    found.push((*number, weight));
                }
                false
            });
            if found.is_empty() {
                break;
            }
            small.0.extend(found);
        }
        Ok(small)
    }

    /// The charges of a function, in their order.
    pub fn charges(&self, graph: &Graph<'_>, number: u32) -> Result<Vec<Charge>> {
        if self.0.contains_key(&number) {
            return Ok(Vec::new());
        }
        let function = &graph.functions[number as usize];
        let placed = &graph.placed[function.placed];
        let mut plan = Plan::new();
        for (place, operator) in placed.module.bodies[function.body].get_operators_reader()?.into_iter().enumerate() {
            let operator = operator?;
            let calls = match operator {
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    self.0.get(&at(&placed.functions, function_index, "a function")?).copied()
                }
                _ => None,
            };
            plan.operator(place, &operator, calls);
        }
        Ok(plan.finish())
    }
}

/// Weight and direct callees of a function that may turn out to be small.
fn callees(graph: &Graph<'_>, number: u32) -> Result<Option<(u32, Vec<u32>)>> {
    let function = &graph.functions[number as usize];
    let placed = &graph.placed[function.placed];
    let (mut own, mut callees) = (0_u32, Vec::new());
    for operator in placed.module.bodies[function.body].get_operators_reader()? {
        let operator = operator?;
        match operator {
            Operator::Call { function_index } => callees.push(at(&placed.functions, function_index, "a function")?),
            _ if is_call(&operator) || is_bulk(&operator) || matches!(operator, Operator::Loop { .. }) => return Ok(None),
            _ => {}
        }
        own += weight(&operator);
        if own > MOST_SMALL {
            return Ok(None);
        }
    }
    Ok(Some((own, callees)))
}

pub(super) fn is_bulk(operator: &Operator<'_>) -> bool {
    matches!(operator, Operator::MemoryFill { .. } | Operator::MemoryCopy { .. })
}

fn is_call(operator: &Operator<'_>) -> bool {
    use Operator::{Call, CallIndirect, CallRef, ReturnCall, ReturnCallIndirect, ReturnCallRef};
    matches!(
        operator,
        Call { .. } | CallIndirect { .. } | CallRef { .. } | ReturnCall { .. } | ReturnCallIndirect { .. } | ReturnCallRef { .. }
    )
}

/// One an instruction, about: what only gives a place a name, or drops something, is free.
fn weight(operator: &Operator<'_>) -> u32 {
    match operator {
        Operator::Nop
        | Operator::Drop
        | Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::Else
        | Operator::End
        | Operator::Unreachable
        | Operator::Return => 0,
        Operator::MemoryGrow { .. } => GROWTH,
        _ => 1,
    }
}

/// Straight-line code.
struct Segment {
    start: usize,
    weight: u32,
    /// The charge that it begins with.
    charge: Option<usize>,
}

/// A block that is open.
struct Open {
    /// Its charge, where it is a loop.
    head: Option<usize>,
    /// The charge that short code behind it is in.
    around: usize,
}

struct Plan {
    charges: Vec<Charge>,
    /// Of each charge, how much of its weight is short code behind branches.
    carried: Vec<u32>,
    /// The charge that short code is in.
    current: usize,
    segment: Segment,
    open: Vec<Open>,
}

impl Plan {
    fn new() -> Self {
        let segment = Segment { start: 0, weight: 0, charge: None };
        let mut plan = Self { charges: Vec::new(), carried: Vec::new(), current: 0, segment, open: Vec::new() };
        plan.segment.charge = Some(plan.charge(0, 1, Check::Fuel));
        plan
    }

    fn charge(&mut self, before: usize, weight: u32, check: Check) -> usize {
        self.current = self.charges.len();
        self.charges.push(Charge { before, weight, check });
        self.carried.push(0);
        self.current
    }

    /// `small`: weight of the small function that is called here.
    fn operator(&mut self, place: usize, operator: &Operator<'_>, small: Option<u32>) {
        self.segment.weight = self.segment.weight.saturating_add(weight(operator)).saturating_add(small.unwrap_or(0));
        // Only an innermost loop without calls is left without a look: it walks over something, and memory has an end.
        if (is_call(operator) && small.is_none()) || matches!(operator, Operator::Loop { .. }) {
            for head in self.open.iter().filter_map(|open| open.head) {
                self.charges[head].check = Check::Clock;
            }
        }
        let around = self.current;
        match operator {
            Operator::Block { .. } => self.open.push(Open { head: None, around }),
            Operator::Loop { .. } => {
                self.end(place + 1);
                let around = self.current;
                let head = self.charge(place + 1, 1, Check::Fuel);
                self.segment.charge = Some(head);
                self.open.push(Open { head: Some(head), around });
            }
            Operator::If { .. } => {
                self.end(place + 1);
                self.open.push(Open { head: None, around: self.current });
            }
            Operator::Else => {
                self.end(place + 1);
                self.current = self.open.last().map_or(0, |open| open.around);
            }
            Operator::End => {
                self.end(place + 1);
                self.current = self.open.pop().map_or(0, |open| open.around);
            }
            Operator::Br { .. } | Operator::BrIf { .. } | Operator::BrTable { .. } | Operator::Return => self.end(place + 1),
            _ => {}
        }
    }

    /// Straight-line code ends, other begins.
    fn end(&mut self, next: usize) {
        let Segment { start, weight, charge } = std::mem::replace(&mut self.segment, Segment { start: next, weight: 0, charge: None });
        let (charge, weight) = match charge {
            Some(charge) => (charge, weight),
            None if weight > LONG => (self.charge(start, 0, Check::Nothing), weight),
            None => {
                let carried = weight.min(MOST_CARRIED - self.carried[self.current]);
                self.carried[self.current] += carried;
                (self.current, carried)
            }
        };
        self.charges[charge].weight = self.charges[charge].weight.saturating_add(weight);
    }

    fn finish(mut self) -> Vec<Charge> {
        self.end(0);
        self.charges
    }
}
