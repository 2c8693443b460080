namespace ByteStreams.Hosting;

/// <summary>What came of reading the configuration anew.</summary>
/// <param name="Added">Endpoints that are new.</param>
/// <param name="Removed">Endpoints that are gone.</param>
/// <param name="Changed">Endpoints that go on in another way.</param>
/// <param name="Mistakes">What was not taken over, and is in the log.</param>
internal sealed record ReloadReport(int Added, int Removed, int Changed, int Mistakes);
