using System.Text.RegularExpressions;

namespace ByteStreams.Middleware.Tests;

/// <summary>All P/Invoke of library and host is in Transport/Interop, with one declaration per function.</summary>
public partial class InteropTests
{
    /// <summary>The functions of libc, and those of OpenSSL.</summary>
    private static readonly string[] Interop = ["Middleware/Transport/Interop/", "Middleware/Tls/OpenSsl/LibSsl.cs", "Host/Hosting/NativeHeaps.cs"];

    [Fact]
    public void Source_EachImport_IsDeclaredOnceAndInInterop()
    {
        (string File, string Function)[] imports =
        [
            .. from file in Repository.Files("src", "*.cs")
               where !file.Contains("/obj/", StringComparison.Ordinal)
               from Match match in Import().Matches(Repository.Read($"src/{file}"))
               select (file, EntryPoint().Match(match.Value) is { Success: true } named ? named.Groups["function"].Value : match.Groups["name"].Value),
        ];

        Assert.InRange(imports.Length, 20, 1000);
        Assert.Equal([], imports.Where(import => !Interop.Any(place => import.File.StartsWith(place, StringComparison.Ordinal))).Select(import => import.File).Distinct());
        Assert.DoesNotContain(imports, import => import.Function.Length == 0);
        Assert.Equal([], imports.GroupBy(import => import.Function).Where(declared => declared.Count() > 1).Select(declared => declared.Key));
    }

    /// <summary>The attribute, further ones, and the name of the method.</summary>
    [GeneratedRegex("""\b(?:Library|Dll)Import(?:Attribute)?\([^)]*\)\](?:\s*\[[^\]]*\])*\s*\w+ static partial [^(]* (?<name>\w+)\(""")]
    private static partial Regex Import();

    [GeneratedRegex(@"EntryPoint = ""(?<function>\w+)""")]
    private static partial Regex EntryPoint();
}
