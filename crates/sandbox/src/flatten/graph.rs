//! Follows a component's instantiations, and gives everything in it one number.

use std::collections::HashMap;
use std::rc::Rc;

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ExternalKind, FuncType, Global, GlobalType, Instance,
    MemoryType, Parser, Payload, TableType, TypeRef,
};

use super::module::{Constant, Module, evaluate};
use super::{C_FUNCTIONS, FUEL, LOOK_AT, MEMORY, Refusal, Result, STACK_POINTER, at};

/// Everything that the component's modules define, in the order of their instantiation: an entity's number is its place here.
#[derive(Default)]
pub(super) struct Graph<'a> {
    pub types: Vec<FuncType>,
    pub functions: Vec<Function>,
    pub tables: Vec<TableType>,
    pub memories: Vec<MemoryType>,
    pub globals: Vec<(GlobalType, Constant)>,
    pub placed: Vec<Placed<'a>>,
    /// The functions that the host may call.
    pub exports: Vec<(String, u32)>,
}

/// Where a function's body is.
#[derive(Clone, Copy)]
pub(super) struct Function {
    /// Into [`Graph::types`].
    pub kind: u32,
    /// Into [`Graph::placed`].
    pub placed: usize,
    /// Into the module's bodies.
    pub body: usize,
}

/// An instantiated module: what its own indices mean in the graph.
#[derive(Default)]
pub(super) struct Placed<'a> {
    pub module: Rc<Module<'a>>,
    pub types: Vec<u32>,
    pub functions: Vec<u32>,
    pub tables: Vec<u32>,
    pub memories: Vec<u32>,
    pub globals: Vec<u32>,
    /// What those globals start with.
    pub constants: Vec<Constant>,
}

#[derive(Clone, Copy)]
enum Entity {
    Function(u32),
    Table(u32),
    Memory(u32),
    Global(u32),
}

/// The component's own index spaces, while it is read.
#[derive(Default)]
struct Reader<'a> {
    graph: Graph<'a>,
    modules: Vec<Rc<Module<'a>>>,
    instances: Vec<HashMap<&'a str, Entity>>,
    functions: Vec<u32>,
    tables: Vec<u32>,
    memories: Vec<u32>,
    globals: Vec<u32>,
    /// Core functions behind the component's functions.
    lifted: Vec<u32>,
    types: HashMap<FuncType, u32>,
}

impl<'a> Graph<'a> {
    pub fn of(component: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::default();
        // The parser enters what is nested by itself. Modules are read as a whole where they begin. Nested components are the wrapping of
        // exported interfaces: without modules of their own there is nothing in them that runs.
        let mut inside = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            match &payload {
                Payload::ModuleSection { .. } if inside > 0 => {
                    return Err(Refusal::Unknown("a component with modules of its own".to_owned()));
                }
                Payload::ComponentSection { .. } => inside += 1,
                Payload::ModuleSection { unchecked_range, .. } => {
                    let module = component.get(unchecked_range.start..unchecked_range.end).ok_or(Refusal::Dangling("a module"))?;
                    reader.modules.push(Rc::new(Module::read(module)?));
                    inside += 1;
                }
                Payload::End(_) if inside > 0 => inside -= 1,
                _ if inside > 0 => {}
                _ => reader.section(payload)?,
            }
        }
        Ok(reader.graph)
    }

    fn global(&mut self, global: &Global<'_>, visible: &[Constant]) -> Result<u32> {
        self.globals.push((global.ty, evaluate(&global.init_expr, visible)?));
        Ok(last(&self.globals))
    }
}

impl<'a> Reader<'a> {
    fn section(&mut self, payload: Payload<'a>) -> Result<()> {
        match payload {
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    let exports = match instance? {
                        Instance::FromExports(exports) => exports
                            .iter()
                            .map(|export| Ok((export.name, self.entity(export.kind, export.index)?)))
                            .collect::<Result<HashMap<_, _>>>()?,
                        Instance::Instantiate { module_index, args } => {
                            let module = self.modules.get(module_index as usize).ok_or(Refusal::Dangling("a module"))?;
                            let arguments = args.iter().map(|argument| (argument.name, argument.index)).collect();
                            self.instantiate(Rc::clone(module), &arguments)?
                        }
                    };
                    self.instances.push(exports);
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    let ComponentAlias::CoreInstanceExport { instance_index, name, .. } = alias? else {
                        return Err(Refusal::Unknown("an alias of another component".to_owned()));
                    };
                    match self.exported(instance_index, name)? {
                        Entity::Function(function) => self.functions.push(function),
                        Entity::Table(table) => self.tables.push(table),
                        Entity::Memory(memory) => self.memories.push(memory),
                        Entity::Global(global) => self.globals.push(global),
                    }
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions {
                    let CanonicalFunction::Lift { core_func_index, options, .. } = function? else {
                        return Err(Refusal::Unknown("functions of the component model".to_owned()));
                    };
                    self.lift(core_func_index, &options)?;
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    if export.kind != ComponentExternalKind::Func {
                        continue; // An interface of functions, or a type; callers get at functions by their own names only.
                    }
                    let function = at(&self.lifted, export.index, "a function")?;
                    if [MEMORY, STACK_POINTER, FUEL, LOOK_AT].iter().chain(&C_FUNCTIONS).any(|&taken| taken == export.name.name) {
                        return Err(Refusal::Unknown(format!("an export of the name {}", export.name.name)));
                    }
                    // An export is a function of the component in its own right.
                    self.lifted.push(function);
                    self.graph.exports.push((export.name.name.to_owned(), function));
                }
            }
            Payload::ComponentImportSection(imports) => {
                if let Some(import) = imports.into_iter().next() {
                    return Err(Refusal::Import(import?.name.name.to_owned()));
                }
            }
            Payload::Version { encoding: wasmparser::Encoding::Component, .. }
            | Payload::CoreTypeSection(_)
            | Payload::ComponentTypeSection(_)
            | Payload::ComponentInstanceSection(_)
            | Payload::CustomSection(_)
            | Payload::End(_) => {}
            other => return Err(Refusal::Unknown(format!("{other:?}"))),
        }
        Ok(())
    }

    fn entity(&self, kind: ExternalKind, index: u32) -> Result<Entity> {
        Ok(match kind {
            ExternalKind::Func | ExternalKind::FuncExact => Entity::Function(at(&self.functions, index, "a function")?),
            ExternalKind::Table => Entity::Table(at(&self.tables, index, "a table")?),
            ExternalKind::Memory => Entity::Memory(at(&self.memories, index, "a memory")?),
            ExternalKind::Global => Entity::Global(at(&self.globals, index, "a global")?),
            ExternalKind::Tag => return Err(Refusal::Unknown("exceptions".to_owned())),
        })
    }

    fn exported(&self, instance: u32, name: &str) -> Result<Entity> {
        let exports = self.instances.get(instance as usize).ok_or(Refusal::Dangling("an instance"))?;
        exports.get(name).copied().ok_or(Refusal::Dangling("an export"))
    }

    fn lift(&mut self, function: u32, options: &[CanonicalOption]) -> Result<()> {
        self.lifted.push(at(&self.functions, function, "a function")?);
        for option in options {
            match option {
                // For the canonical ABI's callers. The host uses no such function: it speaks CPython's own interface.
                CanonicalOption::UTF8 | CanonicalOption::Memory(_) | CanonicalOption::Realloc(_) | CanonicalOption::PostReturn(_) => {}
                other => return Err(Refusal::Unknown(format!("the canonical option {other:?}"))),
            }
        }
        Ok(())
    }

    fn instantiate(&mut self, module: Rc<Module<'a>>, arguments: &HashMap<&str, u32>) -> Result<HashMap<&'a str, Entity>> {
        let graph = &mut self.graph;
        let mut placed = Placed { module: Rc::clone(&module), ..Placed::default() };
        for kind in &module.types {
            let number = *self.types.entry(kind.clone()).or_insert_with(|| {
                graph.types.push(kind.clone());
                last(&graph.types)
            });
            placed.types.push(number);
        }
        for import in &module.imports {
            let from = arguments.get(import.module).and_then(|&instance| self.instances.get(instance as usize));
            let entity = from.and_then(|exports| exports.get(import.name)).copied();
            match (import.ty, entity) {
                (TypeRef::Func(_) | TypeRef::FuncExact(_), Some(Entity::Function(function))) => placed.functions.push(function),
                (TypeRef::Table(_), Some(Entity::Table(table))) => placed.tables.push(table),
                (TypeRef::Memory(_), Some(Entity::Memory(memory))) => placed.memories.push(memory),
                (TypeRef::Global(_), Some(Entity::Global(global))) => {
                    placed.globals.push(global);
                    placed.constants.push(graph.globals[global as usize].1);
                }
                _ => return Err(Refusal::Import(format!("{:?} of {:?}", import.name, import.module))),
            }
        }
        for (body, &kind) in module.functions.iter().enumerate() {
            graph.functions.push(Function { kind: at(&placed.types, kind, "a type")?, placed: graph.placed.len(), body });
            placed.functions.push(last(&graph.functions));
        }
        for &table in &module.tables {
            graph.tables.push(table);
            placed.tables.push(last(&graph.tables));
        }
        for &memory in &module.memories {
            graph.memories.push(memory);
            placed.memories.push(last(&graph.memories));
        }
        for global in &module.globals {
            let number = graph.global(global, &placed.constants)?;
            placed.globals.push(number);
            placed.constants.push(graph.globals[number as usize].1);
        }
        let exports = module.exports.iter().map(|export| {
            let entity = match export.kind {
                ExternalKind::Func | ExternalKind::FuncExact => Entity::Function(at(&placed.functions, export.index, "a function")?),
                ExternalKind::Table => Entity::Table(at(&placed.tables, export.index, "a table")?),
                ExternalKind::Memory => Entity::Memory(at(&placed.memories, export.index, "a memory")?),
                ExternalKind::Global => Entity::Global(at(&placed.globals, export.index, "a global")?),
                ExternalKind::Tag => return Err(Refusal::Unknown("exceptions".to_owned())),
            };
            Ok((export.name, entity))
        });
        let exports: HashMap<_, _> = exports.collect::<Result<_>>()?;
        let imported = placed.functions.len() - module.functions.len();
        for name in C_FUNCTIONS {
            // A library that only hands on what it imports does not define it.
            if let Some(&Entity::Function(function)) = exports.get(name)
                && placed.functions[imported..].contains(&function)
            {
                if graph.exports.iter().any(|(other, _)| other == name) {
                    return Err(Refusal::Unknown(format!("two functions called {name}")));
                }
                graph.exports.push((name.to_owned(), function));
            }
        }
        graph.placed.push(placed);
        Ok(exports)
    }
}

/// The number of what was pushed last.
fn last<T>(items: &[T]) -> u32 {
    // The format has no more than 2^32 of anything.
    u32::try_from(items.len() - 1).unwrap_or(u32::MAX)
}
