using System.Text.RegularExpressions;

namespace ByteStreams.Middleware.Tests;

/// <summary>All P/Invoke of library and host is in Transport/Interop, with one declaration per function.</summary>
public partial class InteropTests
{
    private const string Interop = "Middleware/Transport/Interop/";

    [Fact]
    public void Source_EachImport_IsDeclaredOnceAndInInterop()
    {
        (string File, string Function)[] imports =
        [
            .. from file in Repository.Files("src", "*.cs")
               where !file.Contains("/obj/", StringComparison.Ordinal)
               from Match match in Import().Matches(Repository.Read($"src/{file}"))
               select (file, EntryPoint().Match(match.Value).Groups["function"].Value),
        ];

        Assert.InRange(imports.Length, 20, 1000);
        Assert.Equal([], imports.Where(import => !import.File.StartsWith(Interop, StringComparison.Ordinal)).Select(import => import.File).Distinct());
        Assert.DoesNotContain(imports, import => import.Function.Length == 0);
        Assert.Equal([], imports.GroupBy(import => import.Function).Where(declared => declared.Count() > 1).Select(declared => declared.Key));
    }

    [GeneratedRegex("""\b(?:Library|Dll)Import(?:Attribute)?\([^)]*\)""")]
    private static partial Regex Import();

    [GeneratedRegex(@"EntryPoint = ""(?<function>\w+)""")]
    private static partial Regex EntryPoint();
}
