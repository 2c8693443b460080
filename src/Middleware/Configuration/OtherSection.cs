namespace ByteStreams.Configuration;

/// <summary>A section beside <c>ByteStreams</c> that a program reads by a table of its own, and that belongs to the same page and schema.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Described">The type with a constant whose documentation is the section's.</param>
/// <param name="Constant">The constant's name.</param>
/// <param name="Table">Its keys.</param>
internal sealed record OtherSection(string Name, Type Described, string Constant, SettingTable Table);
