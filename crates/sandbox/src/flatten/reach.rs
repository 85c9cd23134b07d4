//! Which functions can ever run, and what they can write.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use wasmparser::{ElementItems, ElementKind, Operator, ValType};

use super::graph::{Graph, Placed};
use super::module::offset;
use super::{Refusal, Result, at};

/// What the exports and the tables lead to.
pub(super) struct Reached {
    /// The functions that can run, in the order in which they were found: two components that link the same code in another order come out
    /// the same.
    pub functions: Vec<u32>,
    /// The place of each of them there: its number in the flat module.
    pub places: HashMap<u32, u32>,
    /// The one global that is ever written.
    pub written: Option<u32>,
    /// Functions in tables.
    pub elements: Vec<Segment>,
}

/// Functions that lie in a table from the start.
pub(super) struct Segment {
    pub table: u32,
    pub offset: u32,
    pub functions: Vec<u32>,
}

impl Reached {
    pub fn from(graph: &Graph<'_>) -> Result<Self> {
        let mut elements = Vec::new();
        for placed in &graph.placed {
            segments(placed, &mut elements)?;
        }
        let roots = graph.exports.iter().map(|(_, function)| function).chain(elements.iter().flat_map(|segment| &segment.functions));
        let mut reached = Self { functions: Vec::new(), places: HashMap::new(), written: None, elements: Vec::new() };
        for &root in roots {
            reached.find(root);
        }
        let mut walked = 0;
        while let Some(&function) = reached.functions.get(walked) {
            reached.walk(graph, function)?;
            walked += 1;
        }
        Ok(Self { elements, ..reached })
    }

    fn find(&mut self, function: u32) {
        // The format has no more than 2^32 of anything.
        let next = u32::try_from(self.functions.len()).unwrap_or(u32::MAX);
        if let Entry::Vacant(place) = self.places.entry(function) {
            place.insert(next);
            self.functions.push(function);
        }
    }

    /// Look at what one function calls and writes.
    fn walk(&mut self, graph: &Graph<'_>, number: u32) -> Result<()> {
        let function = graph.functions.get(number as usize).ok_or(Refusal::Dangling("a function"))?;
        let placed = &graph.placed[function.placed];
        let body = &placed.module.bodies[function.body];
        for operator in body.get_operators_reader()? {
            match operator? {
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    self.find(at(&placed.functions, function_index, "a function")?);
                }
                Operator::GlobalSet { global_index } => {
                    let global = at(&placed.globals, global_index, "a global")?;
                    if self.written.is_some_and(|other| other != global) {
                        return Err(Refusal::State("a second global is written".to_owned()));
                    }
                    if graph.globals[global as usize].0.content_type != ValType::I32 {
                        return Err(Refusal::State("the global that is written is not an i32".to_owned()));
                    }
                    self.written = Some(global);
                }
                operator @ (Operator::TableSet { .. }
                | Operator::TableGrow { .. }
                | Operator::TableFill { .. }
                | Operator::TableCopy { .. }
                | Operator::TableInit { .. }
                | Operator::ElemDrop { .. }
                | Operator::MemoryInit { .. }
                | Operator::DataDrop { .. }) => {
                    return Err(Refusal::State(format!("the instruction {operator:?} changes a table or a segment")));
                }
                operator @ Operator::RefFunc { .. } => return Err(Refusal::Unknown(format!("the instruction {operator:?}"))),
                _ => {}
            }
        }
        Ok(())
    }
}

fn segments(placed: &Placed<'_>, elements: &mut Vec<Segment>) -> Result<()> {
    for element in &placed.module.elements {
        let mut functions = Vec::new();
        match &element.items {
            ElementItems::Functions(items) => {
                for item in items.clone() {
                    functions.push(at(&placed.functions, item?, "a function")?);
                }
            }
            ElementItems::Expressions(_, items) => {
                for item in items.clone() {
                    let mut operators = item?.get_operators_reader().into_iter();
                    let Some(Operator::RefFunc { function_index }) = operators.next().transpose()? else {
                        return Err(Refusal::Unknown("a table's element that is not a function".to_owned()));
                    };
                    functions.push(at(&placed.functions, function_index, "a function")?);
                }
            }
        }
        match &element.kind {
            ElementKind::Active { table_index, offset_expr } => elements.push(Segment {
                table: at(&placed.tables, table_index.unwrap_or(0), "a table")?,
                offset: offset(offset_expr, &placed.constants)?,
                functions,
            }),
            // Passive segments are for instructions that are refused; declared ones for references, which are found where they are used.
            ElementKind::Passive | ElementKind::Declared => {}
        }
    }
    Ok(())
}
